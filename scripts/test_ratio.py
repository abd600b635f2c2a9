"""Print how many lines of tests there are for each line of source, by package."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("recsys", "training", "serving", "cli")


def count_lines(folder: Path) -> int:
    """Count the lines of all Python files below a folder; blank ones count, too."""
    return sum(len(path.read_text("utf-8").splitlines()) for path in folder.rglob("*.py"))


def main() -> None:
    """Print one row per package and one for all, which includes what the tests share."""
    rows = [(name, count_lines(ROOT / name), count_lines(ROOT / "tests" / name)) for name in PACKAGES]
    rows.append(("all", sum(source for _, source, _ in rows), count_lines(ROOT / "tests")))
    print(f"{'package':10} {'source':>7} {'tests':>7}  ratio")
    for name, source, tests in rows:
        print(f"{name:10} {source:7} {tests:7}  {tests / source:5.2f}")


if __name__ == "__main__":
    main()
