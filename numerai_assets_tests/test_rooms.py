"""The rooms of the package and the arrows between them: imports point down only, and no circle joins modules."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from numerai_assets.methods.registry import METHODS

PACKAGE = Path(__file__).parents[1] / "numerai_assets"
# From the top floor down. Modules beside the rooms, such as `settings`, are the ground floor and need no line here.
FLOORS = (
    "cli definitions",
    "automation checks",
    "assets",
    "pipeline hosted",
    "methods",
    "features",
    "trees nn evaluation tournament",
    "store",
    "panel",
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}
# Rooms of one floor do not import each other; these do.
DOORS = {("cli", "definitions"), ("trees", "evaluation"), ("nn", "evaluation")}
TAKE_PANELS = {"methods", "features", "nn"}
WITH_DAGSTER = {"definitions", "assets", "checks", "automation"}
SANDBOX_MAY_IMPORT = {"sandbox", "eras", "errors"}


def imported(file: Path) -> Iterator[str]:
    """Full names that a file imports anywhere: in functions and for type checking too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str:
    """The module, or package, that an imported name of this package lies in."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    is_module = path.with_suffix(".py").is_file() or path.is_dir()
    return name if is_module else name.rpartition(".")[0]


def room_of(module: str) -> str:
    return module.split(".")[1]


FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    # The public face names modules of many floors; it imports each when it is asked for.
    if path != PACKAGE / "__init__.py"
}
IMPORTED = {module: sorted(set(imported(path))) for module, path in FILES.items()}
ARROWS = {
    module: {module_of(name) for name in names if name.startswith("numerai_assets")} - {module}
    for module, names in IMPORTED.items()
}
PAIRS = [(module, found) for module, targets in ARROWS.items() for found in sorted(targets)]


def test_every_room_has_its_floor_and_every_import_its_full_name() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"sandbox"}
    assert rooms - set(FLOOR_OF) == set()
    assert [name for names in IMPORTED.values() for name in names if name.startswith(".")] == []
    assert [pair for pair in PAIRS if pair[1] not in FILES] == []


def test_arrows_point_down() -> None:
    def is_upward(upper: str, lower: str) -> bool:
        ground = len(FLOORS)
        above, below = FLOOR_OF.get(upper, ground), FLOOR_OF.get(lower, ground)
        return above > below or (above == below != ground and upper != lower and (upper, lower) not in DOORS)

    rooms = [(pair, room_of(pair[0]), room_of(pair[1])) for pair in PAIRS]
    assert [pair for pair, a, b in rooms if "sandbox" not in (a, b) and is_upward(a, b)] == []


def test_no_circle_joins_modules() -> None:
    TopologicalSorter(ARROWS).prepare()  # raises CycleError, which names the modules


def test_methods_and_features_take_panels_and_know_no_store_or_tournament() -> None:
    outside = {"store", "tournament"}
    assert [pair for pair in PAIRS if room_of(pair[0]) in TAKE_PANELS and room_of(pair[1]) in outside] == []


def test_methods_are_imported_by_their_own_modules_only() -> None:
    packages = {path.name for path in (PACKAGE / "methods").iterdir() if (path / "__init__.py").is_file()}
    methods = packages | {source.partition(":")[0].split(".")[2] for source in METHODS.values()}

    def owner(module: str) -> str:
        return module.split(".")[2] if room_of(module) == "methods" and module.count(".") > 1 else ""

    assert [pair for pair in PAIRS if owner(pair[1]) in methods and owner(pair[0]) != owner(pair[1])] == []


def test_dagster_is_imported_in_four_rooms_only() -> None:
    with_dagster = {room_of(m) for m, names in IMPORTED.items() for n in names if n.split(".")[0] == "dagster"}
    assert with_dagster <= WITH_DAGSTER


def test_the_sandbox_is_reached_over_http() -> None:
    assert {room_of(b) for a, b in PAIRS if room_of(a) == "sandbox"} <= SANDBOX_MAY_IMPORT
    assert {room_of(a) for a, b in PAIRS if room_of(b) == "sandbox"} <= {"sandbox", "cli"}
