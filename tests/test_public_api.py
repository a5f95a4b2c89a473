"""The names of `kvchat`: what `__all__` lists, where they live, and that they load lazily."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import kvchat

NAMES = [name for name in kvchat.__all__ if name != "__version__"]


def names_for_type_checkers() -> set[str]:
    """What the `if TYPE_CHECKING:` block of the package imports, each under its own name."""
    tree = ast.parse(Path(kvchat.__file__).read_text(encoding="utf-8"))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    names = set()
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for each in node.names:
            assert each.asname == each.name, "so that type checkers see it as exported"
            names.add(each.name)
    return names


def test_type_checkers_see_the_names_that_are_exported() -> None:
    assert names_for_type_checkers() == set(NAMES)


def test_nothing_but_the_exported_names_is_offered() -> None:
    assert dir(kvchat) == sorted(kvchat.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Chat'"):
        kvchat.Chat  # noqa: B018 - it must raise


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_name_is_a_class_that_says_what_it_is(name: str) -> None:
    exported = getattr(kvchat, name)
    assert inspect.isclass(exported)
    assert exported.__name__ == name
    assert (exported.__doc__ or "").strip() not in ("", (exported.__mro__[1].__doc__ or "").strip())


@pytest.mark.parametrize("name", NAMES)
def test_every_public_method_says_what_it_does(name: str) -> None:
    silent = [
        method
        for method, value in vars(getattr(kvchat, name)).items()
        if not method.startswith("_") and inspect.isfunction(value) and not value.__doc__
    ]
    assert silent == []


def test_every_error_of_the_package_is_exported() -> None:
    from kvchat import errors

    inner = {"OutOfBlocks", "SegmentRejected", "StepStopped"}  # they never leave the engine
    found = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert found - inner <= set(NAMES)


def test_importing_a_runtime_loads_no_torch() -> None:
    program = (
        "import sys, kvchat; from kvchat import ChatRuntime, SamplingParams, KVChatError\n"
        "assert 'torch' not in sys.modules and 'textual' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode()
