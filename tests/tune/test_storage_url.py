"""Where the trials of a study are stored: secrets stay hidden, and strangers choose no address."""

import json

import pytest

import latentkit as lk
from latentkit import trust
from latentkit.errors import UserError
from latentkit.plugin import SearchRange, StudyTask
from latentkit.plugin.database_urls import public_url, without_secrets
from latentkit.tune import storage_url
from latentkit.tune.study_folder import StudyFolder, StudyPlan


@pytest.fixture(autouse=True)
def nothing_allowed(tmp_path, monkeypatch):
    """Give each test an empty folder of permissions."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(trust, "_allowed_here", {})


@pytest.fixture
def sent(tmp_path):
    """Return a function that makes a study with a storage, as a stranger may send it."""

    def make(storage):
        plan = StudyPlan(
            name="s",
            config={"seed": 0},
            space={"training.learning_rate": SearchRange(1e-4, 1e-2)},
            objectives=("loss",),
            tuner={"name": "optuna"},
            data_dir="data",
            storage=storage,
        )
        return StudyFolder.begin(tmp_path / "studies" / "s", plan).path

    return make


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hu@sh@host/db",
        "postgresql://me:hu@s?sh@host/db",
        "postgresql://host/db?user=me&passfile=/hush&pw=hush&options=hush&p%61ssword=hush",
        "postgresql://me:hush/x@host/db?host=hush@elsewhere",
        "mssql+pyodbc:///?odbc_connect=PWD%3Dhush",
        "oracle://me/hush@host/db",
        "hush",
    ],
)
def test_a_public_url_holds_no_part_of_a_password(url):
    public = public_url(url)
    assert "hu" not in public
    assert "sh" not in public
    assert public_url(public) == public


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hush@host/db",
        "postgresql://me:h%75sh@host/db",
        "postgresql://me:hush@sh@host/db",
        "oracle://me/hush@host/db",
        "postgresql://host/db?pw=hush",
    ],
)
def test_a_message_about_a_url_holds_no_password(url):
    assert without_secrets("host refuses 'hush'", url) == "host refuses '***'"


def test_a_task_shows_no_password():
    assert "hush" not in repr(StudyTask("s", "postgresql://me:hush@host/db", {}, (), 0))


def test_a_url_can_be_given_in_a_file(tmp_path):
    (tmp_path / "storage").write_text("postgresql://me:hush@host/db\nanything else\n")
    assert storage_url.given_url(f"@{tmp_path}/storage") == "postgresql://me:hush@host/db"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@missing", "--storage @missing: the file cannot be read: No such file"),
        ("study.db", "not a URL"),
        ("postgresql://me:hu@sh@host/db", "write %40 in place of an '@'"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_quoting_it(text, message):
    with pytest.raises(UserError, match=message) as refused:
        storage_url.given_url(text)
    assert "sh@host" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://collects-passwords.example.org/db",
        "sqlite:////home/you/.mozilla/cookies.sqlite",
        "sqlite:///file.db?plugin=executes",
        "no-such-driver://host/db",
    ],
)
def test_a_storage_that_the_user_never_named_is_not_opened(sent, url, monkeypatch):
    def opened(*arguments, **named):
        raise AssertionError("it was opened")

    path = sent(url)
    monkeypatch.setattr("latentkit.builtins.tuners.optuna_storage.make_url", opened)
    for use in (lambda: lk.open_study(path), lambda: lk.tune(resume=path)):
        with pytest.raises(UserError, match=r"you have not named before.*--storage"):
            use()


def test_a_storage_that_the_user_named_is_opened_again(sent, tmp_path):
    url = f"sqlite:///{tmp_path}/named.db"
    path = sent(url)
    assert lk.open_study(path, storage=url).result.trials == ()
    with pytest.raises(UserError, match="you have not named before"):
        lk.open_study(path)
    storage_url.allow_storage(url)
    assert lk.open_study(path).result.trials == ()


def test_permission_for_an_address_is_none_for_options_that_load_code(sent):
    storage_url.allow_storage("postgresql://host/db?plugin=mine")
    with pytest.raises(UserError, match="you have not named before"):
        lk.open_study(sent("postgresql://host/db?plugin=executes"))


def test_a_refused_address_is_shown_without_its_password(sent):
    path = sent("")
    record = json.loads((path / "study.json").read_text())
    del record["sha256"]
    record["storage"] = "postgresql://me:hush@host/db"
    (path / "study.json").write_text(json.dumps(record))  # as an older version wrote it
    with pytest.raises(UserError, match="postgresql://me@host/db") as refused:
        lk.open_study(path)
    assert "hush" not in str(refused.value)
