"""Who may import whom, read from the syntax trees; and what loads without torch."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "kvchat"
FILES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.py")
    if "weights" not in path.parts
)

# A folder or a module right below kvchat -> those it may import. Everything may import `errors`.
MAY_IMPORT: dict[str, str] = {
    "__init__": "",  # loads its names lazily
    "__main__": "console",
    "console": "cli",
    "cli": "tui print_mode plain_mode runtime bench doctor simulate settings paths clean_text"
    " device cli_options config_command shell_completion session_choice log_output"
    " sessions_command models_command",
    "sessions_command": "cli_options clean_text log_output durable_files paths print_mode session"
    " session_choice store untrusted",
    "models_command": "cli_options clean_text device found_models hub_client model_download"
    " model_report paths print_mode",
    "model_report": "device kv model text untrusted",
    "model_download": "durable_files hub_client model untrusted",
    "hub_client": "clean_text",
    "found_models": "model paths",
    "cli_options": "device settings paths",
    "config_command": "cli_options paths print_mode settings settings_file tui",
    "settings_file": "durable_files paths settings",
    "shell_completion": "bench cli_options print_mode",
    "session_choice": "runtime session",
    "log_output": "paths durable_files",
    "plain_mode": "runtime session clean_text session_choice",
    "tui": "runtime session settings paths sampling_params clean_text"
    " durable_files untrusted log_output settings_file",
    "print_mode": "runtime session settings sampling_params clean_text",
    "bench": "cli_options settings store tui runtime engine model kv device sampling_params"
    " hash_model paths durable_files native",
    "doctor": "cli_options doctor_program device native",
    "doctor_program": "doctor_twin kv hash_model native",
    "doctor_twin": "kv",
    "simulate": "cli_options runtime session engine store hash_folder kv text sampling_params"
    " clean_text",
    "train": "training",
    "training": "model kv durable_files",
    "evaluate": "evaluation model kv text device paths runtime",
    "evaluation": "model kv text runtime session clean_text durable_files training",
    "hash_model": "kv",
    "hash_folder": "hash_model model kv paths",
    "runtime": "found_models runtime_status session store engine engine_options model kv text paths"
    " durable_files settings sampling_params clean_text",
    "runtime_status": "",
    # builds the engine for the runtime
    "engine_options": "engine model kv native device torch_libraries",
    "session": "engine store text sampling_params clean_text token_records untrusted",
    "token_records": "",
    "store": "kv durable_files untrusted clean_text",
    "engine": "model kv native sampling_params token_records",
    "integrations": "kv",
    "model": "kv native untrusted",
    "kv": "native untrusted",
    "native": "durable_files paths",  # compiles and loads; knows nothing of who calls it
    "text": "untrusted",
    "settings": "device durable_files untrusted sampling_params",
    "paths": "",
    "device": "",
    "torch_libraries": "",
    "sampling_params": "",
    "clean_text": "",
    "durable_files": "",
    "untrusted": "",
    "errors": "",
}
# Of these folders only these files, for the importer named.
ONLY_FILES = {
    ("session", "engine"): {"request", "engine_thread", "sequence"},
    ("store", "kv"): {"segments"},
    ("evaluation", "session"): {"reply"},
    ("evaluation", "training"): {"corpus"},
    ("shell_completion", "bench"): {"programs"},
    ("bench", "tui"): {"app", "meter_driver", "message_lines", "glyphs"},
}
# A library -> the files that may import it.
DOORS: dict[str, str] = {
    "textual": "tui/*",
    "rich": "tui/*",
    "markdown_it": "tui/*",
    "sqlite3": "store/*",
    "sentencepiece": "text/sentencepiece_model.py text/sandbox_child.py training/corpus.py"
    " training/export.py",
    "tokenizers": "text/json_model.py text/sandbox_child.py",
    "jinja2": "text/sandbox_child.py",
    "subprocess": "native/toolchain.py bench/start.py bench/everything.py bench/busy_core.py"
    " bench/ending.py"
    " text/sandbox.py",
    "multiprocessing": "doctor.py simulate/*",
    "safetensors": "kv/segments.py model/checkpoint.py training/trainer.py"
    " training/corpus.py training/export.py training/mean.py",
    "platformdirs": "paths.py",
    "huggingface_hub": "hub_client.py",
    "transformers": "integrations/* bench/transformers_peer.py",
    "llama_cpp": "bench/llama_peer.py",
    "zstandard": "training/record.py",
    "threading": "runtime.py engine/engine_thread.py store/store_thread.py"
    " store/segment_thread.py store/saved_blocks.py session/host.py"
    " session/running_replies.py session/reply.py text/sandbox.py simulate/child.py",
    "queue": "runtime.py engine/engine_thread.py store/store_thread.py"
    " store/segment_thread.py session/prompt.py session/reply.py",
    "asyncio": "session/reply.py tui/* bench/ui*.py",
    "pickle": "",
    "_pickle": "",
    "shelve": "",
    "marshal": "",
    "dill": "",
    "joblib": "",
}
# The files that import torch; no other does, and every other loads without it. The options do so
# inside the function that the engine thread runs.
IMPORT_TORCH = (
    "device.py doctor.py doctor_program.py doctor_twin.py hash_model.py simulate/*"
    " evaluate.py evaluation/text_reading.py evaluation/held_out.py bench/*"
    " train.py training/trainer.py training/export.py training/mean.py"
    " kv/storage.py kv/kv_run.py kv/quantization.py kv/rotary.py kv/attention_metadata.py"
    " kv/partial_attention.py kv/paged_attention.py kv/kernel_attention.py"
    " kv/table_attention.py"
    " kv/cache.py kv/paged_cache.py kv/contiguous.py"
    " kv/bare_tensors.py kv/step_arguments.py kv/block_bytes.py kv/staged_restore.py"
    " kv/contiguous_adapter.py"
    " engine/residency.py engine/restorer.py engine/restore_plan.py engine/unsaved_blocks.py"
    " engine/evicted_blocks.py"
    " model/checkpoint.py model/weight_intake.py model/linear.py model/int8_linear.py"
    " model/packed_linear.py model/int4_linear.py model/integer_product.py model/row_codes.py"
    " model/layers.py model/attention.py model/latent_attention.py model/experts.py"
    " model/transformer.py model/native_decoder.py model/decoder_description.py"
    " model/rotation_table.py model/weight_memory.py"
    " engine/one_thread.py engine/step_threads.py"
    " engine/model_runner.py engine/sampler.py engine/logit_reader.py engine/scoring.py"
    " engine/room.py engine/admission.py engine/forward_pass.py engine/engine.py integrations/*.py"
)

IMPORT_TORCH_LATE = "engine_options.py"


@dataclass(frozen=True)
class Import:
    """One module named by an import statement, at runtime."""

    file: str
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def matches(file: str, patterns: str) -> bool:
    return any(fnmatch(file, pattern) for pattern in patterns.split())


def syntax_tree(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text(), file)


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one, without what only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt) and is_type_checking(child):
            assert isinstance(child, ast.If)
            for statement in child.orelse:
                yield from runtime_nodes(statement)
            continue
        yield child
        yield from runtime_nodes(child)


def imports_of(file: str) -> Iterator[Import]:
    for node in runtime_nodes(syntax_tree(file)):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(file, node.lineno, name.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            assert node.module is not None
            for name in node.names:  # `from kvchat import paths` names a module
                inner = f"{node.module}.{name.name}"
                path = PACKAGE.parent / inner.replace(".", "/")
                is_module = path.with_suffix(".py").exists() or path.is_dir()
                yield Import(file, node.lineno, inner if is_module else node.module)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("import_module")
            and isinstance(node.args[0], ast.Constant)
        ):
            yield Import(file, node.lineno, str(node.args[0].value))


IMPORTS = [each for file in FILES for each in imports_of(file)]


def part_of(file: str) -> str:
    """The folder below kvchat, or the module right below it."""
    return file.split("/")[0].removesuffix(".py")


def test_every_part_has_a_place_in_the_graph() -> None:
    assert {part_of(file) for file in FILES} <= MAY_IMPORT.keys()


def test_the_graph_has_no_cycle() -> None:
    graph = {part: set(allowed.split()) for part, allowed in MAY_IMPORT.items()}
    assert list(graphlib.TopologicalSorter(graph).static_order())
    assert {part for allowed in graph.values() for part in allowed} <= graph.keys()


@pytest.mark.parametrize("part", sorted({part_of(file) for file in FILES}))
def test_a_part_imports_only_what_is_below_it(part: str) -> None:
    allowed = {part, "errors", *MAY_IMPORT.get(part, "").split()}
    wrong = []
    for each in IMPORTS:
        names = each.module.split(".")
        if part_of(each.file) != part or names[0] != "kvchat" or len(names) == 1:
            continue
        only = ONLY_FILES.get((part, names[1]))
        if names[1] not in allowed or (only is not None and names[2:3] != [*only & {*names[2:3]}]):
            wrong.append(str(each))
    assert wrong == []


@pytest.mark.parametrize("library", DOORS)
def test_a_library_is_imported_at_its_door_only(library: str) -> None:
    wrong = [
        str(each)
        for each in IMPORTS
        if each.module.split(".")[0] == library and not matches(each.file, DOORS[library])
    ]
    assert wrong == []


def test_only_marked_files_import_torch() -> None:
    wrong = [
        str(each)
        for each in IMPORTS
        if each.module.split(".")[0] == "torch"
        and not matches(each.file, f"{IMPORT_TORCH} {IMPORT_TORCH_LATE}")
    ]
    assert wrong == []


def test_nothing_is_unpickled() -> None:
    wrong = [
        f"{file}:{node.lineno}"
        for file in FILES
        for node in ast.walk(syntax_tree(file))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in ("torch.load", "torch.save", "torch.jit.load", "torch.package")
    ]
    wrong += [
        str(each)
        for each in IMPORTS
        if each.module in ("torch.serialization", "torch.jit", "torch.package", "torch.hub")
    ]
    assert wrong == []


def test_the_files_of_folders_hold_a_docstring_only() -> None:
    wrong = [
        file
        for file in FILES
        if file.endswith("/__init__.py")
        and [type(node) for node in syntax_tree(file).body] != [ast.Expr]
    ]
    assert wrong == []


def loads_without_torch(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program that ends by looking for torch, in a fresh interpreter."""
    last = "import sys; assert 'torch' not in sys.modules, 'torch was imported'"
    return subprocess.run(
        [sys.executable, "-c", f"{program}\n{last}"],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def module_name(file: str) -> str:
    return "kvchat." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_every_unmarked_file_loads_without_torch() -> None:
    modules = [
        module_name(file)
        for file in FILES
        if not matches(file, IMPORT_TORCH) and file not in ("__init__.py", "__main__.py")
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, f'{name} imports torch'"
    )
    result = loads_without_torch(program)
    assert result.returncode == 0, result.stderr


def test_the_package_itself_loads_nothing_heavy() -> None:
    program = (
        "import sys, kvchat\n"
        "heavy = {'torch', 'textual', 'rich', 'sqlite3', 'sentencepiece', 'asyncio'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    result = loads_without_torch(program)
    assert result.returncode == 0, result.stderr


def test_the_help_of_the_command_is_shown_without_torch() -> None:
    program = (
        "import runpy, sys\n"
        "sys.argv = ['kvchat', '--help']\n"
        "try:\n    runpy.run_module('kvchat', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )
    result = loads_without_torch(program)
    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout.lower()
