"""docs/parity.md has a row for every public name of the Python SDK's modules. Prints TAP; every case is skipped
when temporalio cannot be imported.

usage: parity_check.py
"""

import dataclasses
import enum
import importlib
import inspect
import re
import sys

WHOLE = ["workflow", "common", "exceptions", "converter", "activity"]  # every name; classes with their members
MEMBERS = {"workflow", "common", "exceptions", "activity"}


def rows():
    """The names of the first column by module: {"workflow": {"sleep", "Info.attempt"}}."""
    found, module = {}, None
    for line in open("docs/parity.md", encoding="utf-8"):
        title = re.match(r"## temporalio\.(\w+)", line)
        name = re.match(r"\| `([^`]+)` \|", line)
        if line.startswith("## "):
            module = title and found.setdefault(title.group(1), set())
        elif module is not None and name:
            module.add(re.sub(r"\(.*", "", name.group(1)))
    return found


def members(cls):
    """What a user of the class sees: fields, methods, values of an enum."""
    if issubclass(cls, enum.Enum):
        return [v.name for v in cls if v.name != "UNSPECIFIED"]
    if dataclasses.is_dataclass(cls):
        return [f.name for f in dataclasses.fields(cls) if not f.name.startswith("_")]
    return []


def wanted(module):
    loaded = importlib.import_module("temporalio." + module)
    for name, value in vars(loaded).items():
        home = getattr(value, "__module__", None) or ""
        if name.startswith("_") or inspect.ismodule(value) or not home.startswith("temporalio." + module):
            continue
        yield name
        if inspect.isclass(value) and module in MEMBERS:
            for member in members(value):
                yield name + "." + member


def main():
    try:
        import temporalio  # noqa: F401
    except ImportError as missing:
        print("1..%d" % len(WHOLE))
        for number, module in enumerate(WHOLE, 1):
            print("ok %d - %s # SKIP %s" % (number, module, missing))
        return 0
    have, failed = rows(), False
    print("1..%d" % len(WHOLE))
    for number, module in enumerate(WHOLE, 1):
        lacking = sorted(set(wanted(module)) - have.get(module, set()))
        failed = failed or bool(lacking)
        print("%s %d - temporalio.%s has its rows" % ("not ok" if lacking else "ok", number, module))
        for name in lacking:
            print("# no row: " + name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
