"""`provides` recognises methods, whether they come from a class, a layer or an attribute."""

import ast
from pathlib import Path

import pytest
import torch
from torch import nn

import latentkit as lk
from latentkit.plugin import Autoencoder, Generative, HasFacts, HasFeatures
from latentkit.plugin.protocols import provides


class OfLayers(nn.Module):
    """Model whose methods are layers, which a module returns from ``__getattr__``."""

    def __init__(self):
        super().__init__()
        self.latent_dim = 2
        self.encode = nn.Linear(4, 2)
        self.decode = nn.Linear(2, 4)

    def loss(self, inputs, targets, *, step):
        return {"loss": torch.zeros(())}


def test_layers_count_as_methods():
    assert provides(OfLayers(), Autoencoder)
    assert not provides(OfLayers(), HasFeatures)


def test_a_model_provides_exactly_the_protocols_it_implements():
    plain, generative = (lk.model(name, (1, 8, 8)) for name in ("conv-ae", "conv-vae"))
    for model in (plain, generative):
        assert provides(model, Autoencoder)
        assert provides(model, HasFeatures)
    assert provides(generative, Generative)
    assert not provides(plain, Generative)


def test_a_method_that_is_set_to_none_does_not_count():
    model = lk.model("conv-ae", (1, 8, 8))
    model.features = None
    assert not provides(model, HasFeatures)


def test_an_attribute_counts_once_it_is_set():
    class Estimator:
        pass

    estimator = Estimator()
    assert not provides(estimator, HasFacts)
    estimator.facts_ = {}
    assert provides(estimator, HasFacts)


ROOT = Path(__file__).resolve().parents[2]


def protocol_names(trees):
    """Return the names of all classes that inherit directly from ``Protocol``."""
    return {
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and {"Protocol"} & set().union(*map(names, node.bases))
    }


def names(node):
    """Return the names in a class or in a tuple or union of classes, without their modules."""
    if isinstance(node, ast.Subscript):
        return names(node.value)
    if isinstance(node, ast.Attribute):
        return {node.attr}
    if isinstance(node, ast.Name):
        return {node.id}
    return set().union(*map(names, ast.iter_child_nodes(node)))


def asked_of(tree, protocols):
    """Return the lines that check an object against one of ``protocols`` by its class."""
    other_names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            other_names |= {part.asname: {part.name} for part in node.names if part.asname}
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            other_names[node.targets[0].id] = names(node.value)
    lines = []
    for node in ast.walk(tree):
        classes = None
        if isinstance(node, ast.Call) and names(node.func) & {"isinstance", "issubclass"}:
            classes = node.args[1]
        elif isinstance(node, ast.MatchClass):
            classes = node.cls
        found = names(classes) if classes else set()
        found = found.union(*(other_names.get(name, set()) for name in found))
        if found & protocols:
            lines.append(node.lineno if hasattr(node, "lineno") else node.cls.lineno)
    return lines


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(model, Generative)",
        "isinstance(context.new_model(), protocols.Generative)",
        "isinstance(make(a, (b, c)), (nn.Module, Generative))",
        "isinstance(model, nn.Module | Generative)",
        "issubclass(type(model), Generative)",
        "from x import Generative as Other\nisinstance(model, Other)",
        "KINDS = (nn.Module, Generative)\nisinstance(model, KINDS)",
        "match model:\n    case Generative():\n        pass",
    ],
)
def test_every_check_for_a_protocol_by_class_is_found(code):
    assert asked_of(ast.parse(code), {"Generative"})
    assert not asked_of(ast.parse(code), {"Autoencoder"})


def test_no_code_checks_a_protocol_with_isinstance_because_it_misses_layers():
    texts = {
        path: path.read_text("utf-8")
        for folder in ("src", "plugins", "examples", "docs", "tests")
        for path in (ROOT / folder).rglob("*.py")
    }
    declaring = [ast.parse(text) for text in texts.values() if "Protocol" in text]
    protocols = protocol_names(declaring)
    assert {"Autoencoder", "HasImportances", "Staged", "Proposals"} <= protocols
    asked = [
        f"{path.relative_to(ROOT)}:{line}"
        for path, text in texts.items()
        if any(name in text for name in protocols)
        for line in asked_of(ast.parse(text), protocols)
    ]
    assert asked == []
