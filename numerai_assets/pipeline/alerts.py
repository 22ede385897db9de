"""Telling a person: what must not wait for the next look at a log, sent through Apprise and kept in a file.

Where to (mail, Slack, Discord, Telegram, ...) is said by Apprise URLs in NUMERAI_ALERT_URLS. They hold tokens, so they
are read at the moment of use and appear in no setting, log or file.
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
    """One alert. key: what it is about, told once. at: the tournament's time where known. sent: somebody was told."""

    key: str
    text: str
    at: str
    sent: bool


class Alerts:
    """Alerts raised in one workspace, kept in the JSON lines file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def raised(self) -> list[Alert]:
        """All alerts, oldest first."""
        if not self.path.is_file():
            return []
        return [Alert(**json.loads(line)) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def alert(self, key: str, text: str, now: dt.datetime) -> bool:
        """Keeps and sends an alert, once a key, and with it whatever could not be sent before. True when new."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            alerts = {item.key: item for item in self.raised()}
            is_new = key not in alerts
            if is_new:
                alerts[key] = Alert(key, text, now.isoformat(timespec="seconds"), sent=False)
                self._keep(alerts)
            # One message, newest first: an outage of the mail is followed by one mail, not by a hundred.
            unsent = [item for item in reversed(alerts.values()) if not item.sent]
            if unsent and send(f"numerai_assets: {unsent[0].key}", "\n".join(item.text for item in unsent)):
                self._keep(alerts | {item.key: replace(item, sent=True) for item in unsent})
        return is_new

    def _keep(self, alerts: dict[str, Alert]) -> None:
        lines = "".join(json.dumps(asdict(item)) + "\n" for item in alerts.values())
        with replacing_file(self.path) as aside:
            aside.write_text(lines, encoding="utf-8")


def send(title: str, text: str) -> bool:
    """True when an address of NUMERAI_ALERT_URLS took the message; False without any, or when none did.

    One address that fails beside another that does not is left to Apprise's log: sent again, the message would reach the
    other twice.
    """
    urls = os.environ.get(URLS_VARIABLE, "").split()
    if not urls:
        return False
    import apprise

    log = logging.getLogger("apprise")
    # Below warnings, and of an address that it cannot read, Apprise logs the address, tokens included.
    log.setLevel(logging.WARNING)
    is_told = False
    for number, url in enumerate(urls, start=1):
        log.disabled = True
        service = apprise.Apprise.instantiate(url)
        log.disabled = False
        if service is None:
            log.warning("address %d of %s is none that Apprise knows", number, URLS_VARIABLE)
        else:
            is_told |= bool(service.notify(title=title, body=text))
    return is_told
