"""Passes and pipelines as the command line of triton-spacemit-opt names them: `--NAME`, `--NAME=OPTIONS`, `--pass-pipeline=TEXT`."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from triton_spacemit.passes import pipeline, registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch_mlir import ir

_SUFFIX = "-pipeline"


class PipelineError(Exception):
    """The text names no pipeline; the message says what is wrong with it."""


@dataclass(frozen=True)
class Step:
    """A pass, or the check of a stage's end state. name: as dumps of the IR call it."""

    name: str
    run: Callable[[ir.Module], None]
    is_pass: bool = True


def pipelines() -> dict[str, str]:
    """Every named pipeline with its summary: the stages of the compiler, one by one."""
    return {f"{name}{_SUFFIX}": f"Stage {name}: {', '.join(passes)}" for name, passes in pipeline.STAGES.items()}


def stage(name: str) -> list[Step]:
    """The passes of a stage, and the check of the state that it ends in."""
    passes = [Step(argument, registry.lookup(argument)) for argument in pipeline.STAGES[name]]
    return [*passes, Step(f"stage {name}", functools.partial(pipeline.check, stage=name), is_pass=False)]


def stages(until: str) -> list[Step]:
    """The steps of all stages up to and with `until`."""
    names = list(pipeline.STAGES)
    return [step for name in names[: names.index(until) + 1] for step in stage(name)]


def parse(text: str) -> list[Step]:
    """The steps of a textual pipeline such as `builtin.module(structure,func.func(canonicalize{max-iterations=3}),loops)`.

    The outer `builtin.module` may be missing. Raises PipelineError.
    """
    match = re.fullmatch(r"\s*(?:builtin\.module|any)\((.*)\)\s*", text, re.DOTALL)
    return [step for element in _split(match[1] if match else text) for step in _element(element)]


def named(name: str, options: str | None = None) -> list[Step]:
    """The steps of the pass or pipeline `name` with MLIR's text of options, `a=1 b=2`. Raises PipelineError."""
    return _element(name if options is None else f"{name}{{{options}}}")


def _split(text: str) -> list[str]:
    """The elements of a textual pipeline: commas within brackets belong to one."""
    parts, open_brackets = [""], ""
    for character in text:
        if character in "({":
            open_brackets += character
        elif character in ")}":
            if open_brackets[-1:] != {")": "(", "}": "{"}[character]:
                raise PipelineError(f"unbalanced brackets in pipeline {text!r}")
            open_brackets = open_brackets[:-1]
        if character == "," and not open_brackets:
            parts.append("")
        else:
            parts[-1] += character
    if open_brackets:
        raise PipelineError(f"unbalanced brackets in pipeline {text!r}")
    return [part.strip() for part in parts]


def _element(text: str) -> list[Step]:
    if not text:
        raise PipelineError("a pass is missing between commas of the pipeline")
    match = re.fullmatch(r"([\w.-]+)\s*(?:\((.*)\)|\{(.*)\})?", text, re.DOTALL)
    if match is None:
        raise PipelineError(f"{text!r} is no pass")
    name, inner, options = match.groups()
    if inner is not None:
        own = [word for word in re.findall(r"[\w.-]+", inner) if _is_own(word)]
        if own:
            raise PipelineError(f"{own[0]} runs on builtin.module, not within {name}")
    elif _is_own(name):
        if options:
            raise PipelineError(f"{name} takes no options, got {{{options}}}")
        return stage(name.removesuffix(_SUFFIX)) if name in pipelines() else [Step(name, registry.lookup(name))]
    problem = registry.problem(text)
    if problem:
        raise PipelineError(problem)
    return [Step(name if inner is None else text, registry.lookup(text))]


def _is_own(name: str) -> bool:
    return name in registry.PASSES or name in pipelines()
