"""Alerts to a person, sent through Apprise and stored in a file.

NUMERAI_ALERT_URLS has the addresses (mail, Slack, Discord, Telegram, ...) as Apprise URLs. They contain tokens, so they are
read at the moment of use and appear in no setting, log or file.
"""

import datetime as dt
import json
import logging
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock

from numerai_assets.store.atomic import replacing_file

URLS_VARIABLE = "NUMERAI_ALERT_URLS"


@dataclass(frozen=True)
class Alert:
    """One alert. key: its subject, raised once. at: the tournament's time where known. sent: an address took it."""

    key: str
    text: str
    at: str
    sent: bool


class Alerts:
    """Alerts raised in one workspace, stored in the JSON lines file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def raised(self) -> list[Alert]:
        """All alerts, oldest first."""
        if not self.path.is_file():
            return []
        return [Alert(**json.loads(line)) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def alert(self, key: str, text: str, now: dt.datetime) -> bool:
        """Stores and sends an alert once per key, together with earlier ones that could not be sent. True when it is new."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            alerts = {item.key: item for item in self.raised()}
            is_new = key not in alerts
            if is_new:
                alerts[key] = Alert(key, text, now.isoformat(timespec="seconds"), sent=False)
                self._keep(alerts)
            # One message, newest first: after an outage of the mail one mail follows, not a hundred.
            unsent = [item for item in reversed(alerts.values()) if not item.sent]
            if unsent and send(f"numerai_assets: {unsent[0].key}", "\n".join(item.text for item in unsent)):
                self._keep(alerts | {item.key: replace(item, sent=True) for item in unsent})
        return is_new

    def _keep(self, alerts: dict[str, Alert]) -> None:
        lines = "".join(json.dumps(asdict(item)) + "\n" for item in alerts.values())
        with replacing_file(self.path) as aside:
            aside.write_text(lines, encoding="utf-8")


def send(title: str, text: str) -> bool:
    """True when at least one address of NUMERAI_ALERT_URLS took the message.

    When one address fails and another does not, the failure is only logged by Apprise: a second attempt would reach the other
    address twice.
    """
    urls = os.environ.get(URLS_VARIABLE, "").split()
    if not urls:
        return False
    import apprise

    log = logging.getLogger("apprise")
    # Apprise logs addresses, tokens included, below the level of warnings and for an address that it cannot parse.
    log.setLevel(logging.WARNING)
    is_sent = False
    for number, url in enumerate(urls, start=1):
        log.disabled = True
        service = apprise.Apprise.instantiate(url)
        log.disabled = False
        if service is None:
            log.warning("address %d of %s: Apprise does not know this kind of address", number, URLS_VARIABLE)
        else:
            is_sent |= bool(service.notify(title=title, body=text))
    return is_sent
