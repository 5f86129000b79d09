"""docs/passes.md is what the docstrings and the passes give, and the tool knows every pass and pipeline that it names."""

from pathlib import Path

import pytest
from torch_mlir import ir

from triton_spacemit.dialect.context import make_context
from triton_spacemit.passes import pipeline, registry, textual
from triton_spacemit.passes.reference import example, reference, run


def test_the_document_is_not_stale() -> None:
    assert (Path(__file__).parents[2] / "docs/passes.md").read_text() == reference(), "docs/passes.md is stale: run `make docs`"


@pytest.mark.parametrize("argument", registry.PASSES)
def test_every_pass_is_documented(argument: str) -> None:
    summary, empty, *rest = registry.documentation(argument).split("\n")
    assert summary.endswith(".")
    assert empty == ""
    assert rest
    with make_context():
        after = ir.Module.parse(run(argument, example(argument)))
        assert after.operation.verify()
    assert str(after) != run("cse", example(argument))  # it does something


@pytest.mark.parametrize("argument", registry.PASSES)
def test_every_pass_has_a_file_of_cases(argument: str) -> None:
    path = Path(__file__).parent / f"{argument.replace('-', '_')}.mlir"
    assert f" --{argument} " in path.read_text().partition("\n")[0]


def test_textual_pipelines() -> None:
    def names(text: str) -> list[str]:
        return [step.name for step in textual.parse(text)]

    assert names("builtin.module(structure, func.func(cse,canonicalize{top-down=true}) ,loops)") == [
        "structure",
        "func.func(cse,canonicalize{top-down=true})",
        "loops",
    ]
    assert names("canonicalize{max-iterations=3},cse") == ["canonicalize", "cse"]
    assert names(",".join(textual.pipelines())) == [step.name for step in textual.stages("llvm")]
    for name, passes in pipeline.STAGES.items():
        steps = textual.named(f"{name}-pipeline")
        assert [step.name for step in steps if step.is_pass] == list(passes)
        assert not steps[-1].is_pass
    for wrong in ("cse)", "(cse", "cse{", "", "func.func(structure)", "structure{a=1}", "canonicalize{no=1}", "no", "loops-pipeline{a}"):
        with pytest.raises(textual.PipelineError):
            textual.parse(wrong)


def test_a_pipeline_checks_its_end_state() -> None:
    """A damaged result of a stage is refused by the stage's own pipeline, not by a later one."""
    with make_context():
        module = ir.Module.parse("module attributes {xsmt.scratch_bytes = 0 : i64} { func.func @f(%x: tensor<8xf32>) { return } }")
        with pytest.raises(Exception, match=r"may not be left after stage loops"):
            textual.stage("loops")[-1].run(module)
