"""Everyday commands: ``nox -l`` lists them, ``nox -s lint types`` runs two of them.

The sessions use the active environment, because one with torch takes minutes to make.
`.ci/run` makes a fresh environment and runs all of them.
"""

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "imports", "reference", "tests"]


@nox.session
def format(session: nox.Session) -> None:  # noqa: A001
    """Format the code and repair what ruff can repair."""
    session.run("ruff", "format", ".")
    session.run("ruff", "check", "--fix", ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Check format and style."""
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types in strict mode."""
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Check which layer imports which."""
    session.run("lint-imports")


@nox.session
def reference(session: nox.Session) -> None:
    """Write docs/reference again, from hooks, options and commands."""
    session.run("python", "docs/generate_reference.py", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """Write the documentation as a site to build/site; needs ``pip install -e '.[docs]'``."""
    session.run("mkdocs", "build", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests of every day; arguments after ``--`` go to pytest."""
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def all_tests(session: nox.Session) -> None:
    """Run all tests, including those that take minutes."""
    session.run("python", "-m", "pytest", "--slow", *session.posargs)


@nox.session
def house(session: nox.Session) -> None:
    """Print the measures of the source: files, lines, imports, circles."""
    session.run("python", "tests/house_measures.py")
