"""Finding the files by argument and variable, and fetching them: a server on 127.0.0.1, no network."""

import errno
import gzip
import hashlib
import io
import logging
import os
import socket
import struct
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from small_files import CSV, ML_1M, ML_100K, RECBOLE, contents, sha256, write

from deepfm_helpers import fetching
from deepfm_helpers.catalogue import DATASETS, Form
from deepfm_helpers.fetching import Origins, locate
from deepfm_helpers.schema import DataError

OFFICIAL_1M, OFFICIAL_100K, WHEEL_100K = *DATASETS["ml-1m"].forms, *DATASETS["ml-100k"].forms


def zipped(files: dict[str, bytes | str], inside: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(inside + name, data)
    return buffer.getvalue()


def form_of(form: Form, files: dict[str, str], archive: bytes) -> Form:
    hashes = {file: sha256(data) for file, data in contents(files).items()}
    return replace(form, size=len(archive), hash=sha256(archive), files=hashes)


ARCHIVE = zipped(contents(ML_1M) | {"README": "terms", "extra.txt": "x" * 5000}, "ml-1m/")
SMALL = Origins(
    {"ml-1m": (form_of(OFFICIAL_1M, ML_1M, ARCHIVE),), "ml-100k": (form_of(OFFICIAL_100K, ML_100K, b""),)},
    addresses=(),
    connecting=5,
    silence=5,
    whole=60,
)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The empty cache of a machine whose home and current folder are new and where no other variable is set."""
    for variable in ("DEEPFM_DATA", "DEEPFM_MIRROR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for folder in ("home", "here"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("DEEPFM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "cache"


# --- what is on this machine --------------------------------------------------------------------------------


def test_a_given_folder_is_searched_and_nothing_else(cache, tmp_path):
    path = write(tmp_path / "home" / "data" / "ml-1m", ML_1M)
    for folder in (path.parent, path, str(path), "~/data", "~/data/ml-1m/"):
        located = locate("ml-1m", folder=folder, origins=SMALL)
        assert located == (path, "given folder", SMALL.datasets["ml-1m"][0].files)
    with pytest.raises(DataError, match=r"the files of ml-1m are not here \(expected ratings\.dat, movies"):
        locate("ml-1m", folder=tmp_path / "elsewhere", origins=SMALL)
    assert not cache.exists()


def test_a_changed_file_in_a_folder_is_refused(cache, tmp_path):
    folder = write(tmp_path / "ml-1m", ML_1M | {"movies.dat": ML_1M["movies.dat"].replace("é", "e")})
    with pytest.raises(DataError, match=r"movies\.dat: SHA-256 is \w{64}, expected \w{64}"):
        locate("ml-1m", folder=tmp_path, origins=SMALL)
    (folder / "movies.dat").unlink()
    with pytest.raises(DataError, match=r"movies\.dat: No such file"):
        locate("ml-1m", folder=tmp_path, origins=SMALL)
    (folder / "movies.dat").mkdir()
    with pytest.raises(DataError, match=r"movies\.dat: "):
        locate("ml-1m", folder=tmp_path, origins=SMALL)


@pytest.mark.parametrize("own", [False, True], ids=["parent", "own folder"])
@pytest.mark.parametrize("how", ["absolute", "relative", "from the checkout", "home", "trailing slash"])
def test_deepfm_data_is_found_wherever_it_is_meant(cache, monkeypatch, tmp_path, how, own):
    parent = tmp_path / ("home" if how == "home" else "here") / "mydata"
    path = write(parent / "ml-1m", ML_1M)
    value = {
        "absolute": str(parent),
        "relative": "mydata",
        "from the checkout": os.path.relpath(parent, fetching.ROOT),
        "home": "~/mydata",
        "trailing slash": str(parent) + "/",
    }[how]
    if how == "from the checkout":
        (tmp_path / "a" / "b" / "c" / "d" / "e" / "notebooks").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "a" / "b" / "c" / "d" / "e" / "notebooks")
        assert not Path(value).exists()
    monkeypatch.setenv("DEEPFM_DATA", os.path.join(value, "ml-1m") if own else value)
    located = locate("ml-1m", origins=SMALL)
    assert located.path.samefile(path)
    assert located.source == "folder named by DEEPFM_DATA"
    assert fetching.data_folder().is_absolute()
    assert fetching.data_folder().samefile(path if own else parent)
    assert not cache.exists()


@pytest.mark.parametrize(
    "value",
    ["misspelt", "/nowhere/data", "~/nothing", "~nobody-of-this-name/data", "empty", "file", "file/x"],
)
def test_a_data_folder_that_leads_nowhere_stops_and_names_the_variable(server, cache, monkeypatch, value):
    Path("empty").mkdir()
    Path("file").touch()
    write(cache / "ml-1m", ML_1M)
    monkeypatch.setenv("DEEPFM_DATA", value)
    for act in (lambda: locate("ml-1m", origins=server.origins()), fetching.data_folder):
        with pytest.raises(
            DataError, match=f"^DEEPFM_DATA={value}: .*name a folder that holds ml-100k or ml-1m"
        ):
            act()
    assert server.requests == []


def test_a_damaged_or_empty_dataset_in_the_data_folder_stops_and_names_the_variable(
    server, cache, monkeypatch
):
    monkeypatch.setenv("DEEPFM_DATA", "data")
    folder = write(Path("data", "ml-1m"), ML_1M | {"users.dat": "x"})
    with pytest.raises(DataError, match=r"^DEEPFM_DATA=data: .*users\.dat: SHA-256 is"):
        locate("ml-1m", origins=server.origins())
    for file in ML_1M:
        (folder / file).unlink()
    with pytest.raises(DataError, match="^DEEPFM_DATA=data: .*the files of ml-1m are not here"):
        locate("ml-1m", origins=server.origins())
    assert server.requests == []


def test_a_data_folder_of_another_dataset_is_passed_over_with_a_line(server, cache, monkeypatch, caplog):
    write(Path("data", "ml-100k"), ML_100K)
    monkeypatch.setenv("DEEPFM_DATA", "data")
    with caplog.at_level(logging.INFO, "deepfm_helpers.datasets"):
        assert locate("ml-1m", origins=server.origins()).source == "official archive"
    assert caplog.messages[0] == f"DEEPFM_DATA=data: no ml-1m in {Path('data').absolute()}"
    assert locate("ml-1m", origins=SMALL).path == cache / "ml-1m"
    write(Path("other", "ml-1m"), ML_1M)
    monkeypatch.setenv("DEEPFM_DATA", "other")
    with pytest.raises(DataError, match="  - DEEPFM_DATA=other: no ml-100k in "):
        locate("ml-100k", origins=SMALL)


def small_csv(archive: bytes = b"", **hashes: str) -> Origins:
    """Origins of ml-latest-small, whose files have no published hash, and of ml-32m, whose files have an MD5."""
    (small,), (large,) = DATASETS["ml-latest-small"].forms, DATASETS["ml-32m"].forms
    md5 = {file: hashlib.md5(text).hexdigest() for file, text in contents(CSV).items()}
    packed = {"size": len(archive), "hash": hashlib.md5(archive).hexdigest()}
    forms = {"ml-latest-small": (replace(small, **packed),), "ml-32m": (replace(large, **packed, files=md5),)}
    return replace(SMALL, datasets=forms)


def test_files_are_checked_by_the_hash_that_is_published(cache, tmp_path):
    path = write(tmp_path / "ml-32m", CSV)
    located = locate("ml-32m", folder=tmp_path, origins=small_csv())
    assert located == (path, "given folder", small_csv().datasets["ml-32m"][0].files)
    (path / "movies.csv").write_bytes(b"movieId,title,genres\n")
    with pytest.raises(DataError, match=r"movies\.csv: MD5 is \w{32}, expected \w{32}"):
        locate("ml-32m", folder=tmp_path, origins=small_csv())


def test_a_folder_of_files_without_a_published_hash_is_read_and_called_unverified(
    cache, tmp_path, monkeypatch
):
    path = write(tmp_path / "ml-latest-small", CSV)
    found = {file: sha256(text) for file, text in contents(CSV).items()}
    located = locate("ml-latest-small", folder=tmp_path, origins=small_csv())
    assert located == (path, "given folder, unverified", found)
    (path / "movies.csv").unlink()
    with pytest.raises(DataError, match=r"movies\.csv: No such file"):
        locate("ml-latest-small", folder=tmp_path, origins=small_csv())


@pytest.mark.parametrize("name", ["ml-latest-small", "ml-32m"])
def test_an_archive_in_a_folder_is_unpacked_into_the_cache_once(cache, tmp_path, monkeypatch, name):
    archive = zipped(contents(CSV) | {"README.txt": "terms"}, f"{name}/")
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / f"{name}.zip"
    file.write_bytes(archive)
    origins = small_csv(archive)
    for folder in (file.parent, file):
        located = locate(name, folder=folder, origins=origins)
        assert located.path == cache / name
        assert located.source == f"{name}.zip in the given folder"
    assert tree(cache / name) == contents(CSV) | {"README.txt": b"terms"}
    monkeypatch.setenv("DEEPFM_DATA", str(file.parent))
    monkeypatch.setattr(fetching, "_install", None)  # not a second time
    assert locate(name, origins=origins).source == f"{name}.zip in the folder named by DEEPFM_DATA"
    file.write_bytes(archive[:-1] + b"\x01")
    with pytest.raises(DataError, match=rf"^DEEPFM_DATA=.*: {name}\.zip: MD5 is \w+, expected"):
        locate(name, origins=origins)


def test_a_folder_of_files_that_two_datasets_call_alike_is_the_one_after_which_it_is_called(tmp_path):
    for name, other in (("ml-32m", "ml-latest-small"), ("ml-latest-small", "ml-32m")):
        folder = write(tmp_path / name, CSV)
        assert fetching.within(folder, name) == folder
        assert fetching.within(folder, other) is None
    assert fetching.within(write(tmp_path / "mine", ML_1M), "ml-1m") == tmp_path / "mine"


def test_a_large_archive_has_more_time(server, cache):
    server.answers["/bad/ml-1m.zip"] = drip
    form = replace(SMALL.datasets["ml-1m"][0], size=2 * 10**7)
    with pytest.raises(DataError, match=r"not complete after 0\.4 s"):
        locate("ml-1m", origins=server.origins("bad", datasets={"ml-1m": (form,)}, whole=0.2))


def test_an_empty_variable_is_one_that_is_not_set(cache, monkeypatch):
    for variable in ("DEEPFM_DATA", "DEEPFM_CACHE", "DEEPFM_MIRROR"):
        monkeypatch.setenv(variable, "")
    assert fetching.data_folder() is None
    assert "deepfm-book" in fetching.cache_folder().parts
    with pytest.raises(DataError, match="cannot be fetched"):
        locate("ml-1m", origins=SMALL)


def test_the_cache_is_understood_like_the_data_folder(cache, monkeypatch, tmp_path):
    there = write(tmp_path / "cache" / "ml-1m", ML_1M).parent
    for value, expected in {
        "new": tmp_path / "here" / "new",
        "~/new": tmp_path / "home" / "new",
        str(there): there,
        os.path.relpath(there, fetching.ROOT): there,
    }.items():
        monkeypatch.setenv("DEEPFM_CACHE", value)
        assert Path(os.path.normpath(fetching.cache_folder())) == Path(os.path.realpath(expected))
    assert locate("ml-1m", origins=SMALL).path.samefile(there / "ml-1m")


# --- fetching -----------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Answers with the bytes that the server holds for a path, or lets the function held there answer."""

    def do_GET(self):
        self.server.requests.append(self.path)
        answer = self.server.answers.get(self.path)
        if answer is None:
            self.send_error(404)
        elif isinstance(answer, bytes):
            self.reply(answer)
        else:
            answer(self)

    def reply(self, data: bytes, status: int = 200, **headers) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": len(data)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(data)

    def repeat(self, data: bytes, seconds: float = 0) -> None:
        """Send the same bytes again and again, until nobody listens or the test is over."""
        while not self.server.over.wait(seconds):
            self.wfile.write(data)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.answers, self.over = [], {"/good/ml-1m.zip": ARCHIVE}, threading.Event()
        self.address = f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, *args):
        pass  # a client that hangs up is what some tests wait for

    def origins(self, *folders: str, **settings) -> Origins:
        addresses = tuple(f"{self.address}{folder}/" for folder in folders or ("good",))
        return replace(SMALL, addresses=addresses, **settings)


@pytest.fixture
def server(cache):
    with Server() as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield httpd
        httpd.over.set()
        httpd.shutdown()


def test_an_archive_is_fetched_once_and_its_licence_kept(server, cache, capfd, caplog):
    with caplog.at_level(logging.INFO, "deepfm_helpers.datasets"):
        first = locate("ml-1m", origins=server.origins())
    assert first == (cache / "ml-1m", "official archive", SMALL.datasets["ml-1m"][0].files)
    expected = contents(ML_1M) | {"README": b"terms"}
    assert tree(cache) == {"ml-1m": b""} | {str(Path("ml-1m", file)): data for file, data in expected.items()}
    assert locate("ml-1m", origins=server.origins()) == first
    assert server.requests == ["/good/ml-1m.zip"]
    assert caplog.messages == [f"fetching ml-1m from {server.address}good/ml-1m.zip"]
    assert capfd.readouterr() == ("", "")


def test_the_mirror_comes_first_and_a_failing_address_gives_way_to_the_next(server, monkeypatch):
    monkeypatch.setenv("DEEPFM_MIRROR", server.address + "absent")
    assert locate("ml-1m", origins=server.origins()).source == "official archive"
    assert server.requests == ["/absent/ml-1m.zip", "/good/ml-1m.zip"]


@pytest.mark.parametrize("value", ["files.example.org", "/srv/mirror", "~/mirror", "ftp://x/", "file:///srv"])
def test_a_mirror_that_is_no_address_stops_and_names_the_variable(server, monkeypatch, value):
    monkeypatch.setenv("DEEPFM_MIRROR", value)
    with pytest.raises(DataError, match=f"^DEEPFM_MIRROR={value}: .*http:// or https://"):
        locate("ml-1m", origins=server.origins())
    assert server.requests == []


def drip(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(ARCHIVE)))
    handler.end_headers()
    handler.repeat(b"P", 0.02)


def drip_headers(handler):
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
    handler.repeat(b"x", 0.02)


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.repeat(b"P" * 65536)


def endless_chunks(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    handler.repeat(b"400\r\n" + b"P" * 1024 + b"\r\n")


def endless_chunk_size(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    handler.repeat(b"0" * 65536)


def reset(handler):
    handler.reply(ARCHIVE[:100], Content_Length=len(ARCHIVE))
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


BOMB = zipped({"ratings.dat": bytes(20_000_000), "movies.dat": "", "users.dat": ""}, "ml-1m/")
ONE_BYTE_OTHER = ARCHIVE[:-1] + b"\x01"
SIZE = f"{len(ARCHIVE):,}"

BAD_ANSWERS = {
    "drips": (drip, "not complete after 0.3 s"),
    "drips headers": (drip_headers, "not complete after 0.3 s"),
    "never ends": (endless, f"more came instead of the {SIZE} bytes that were published"),
    "never ends in chunks": (endless_chunks, "more came instead of"),
    "never ends a chunk's size": (endless_chunk_size, "LineTooLong: "),
    "one byte more": (ARCHIVE + b"x", "more came instead of"),
    "one byte less": (ARCHIVE[:-1], f"{len(ARCHIVE) - 1:,} bytes came instead of the {SIZE}"),
    "one byte other": (ONE_BYTE_OTHER, r"ml-1m\.zip: SHA-256 is \w{64}, expected \w{64}"),
    "nothing": (b"", f"0 bytes came instead of the {SIZE}"),
    "hangs up": (lambda h: h.reply(ARCHIVE[:99], Content_Length=len(ARCHIVE)), "IncompleteRead|99 bytes"),
    "sign-in page": (b"<html>sign in</html>", f"20 bytes came instead of the {SIZE}"),
    "zip bomb": (BOMB, "came instead of the"),
    "packed": (lambda h: h.reply(gzip.compress(ARCHIVE), Content_Encoding="gzip"), "came instead of the"),
    "packed bomb": (
        lambda h: h.reply(gzip.compress(gzip.compress(bytes(50_000_000))), Content_Encoding="gzip, gzip"),
        "came instead of the",
    ),
    "odd length": (lambda h: h.reply(b"x", Content_Length="abc"), f"1 bytes came instead of the {SIZE}"),
    "server error": (lambda h: h.reply(b"oh", 500), "HTTPError: 500 Server Error"),
    "not found": (None, "HTTPError: 404 Client Error"),
    "redirects for ever": (lambda h: h.reply(b"", 302, Location=h.path), "TooManyRedirects: "),
    "redirects to a file": (lambda h: h.reply(b"", 302, Location="file:///etc/hosts"), "InvalidSchema: "),
    "reset": (reset, "ConnectionResetError|IncompleteRead"),
    "not HTTP": (lambda h: h.wfile.write(b"SSH-2.0-OpenSSH\r\n"), "BadStatusLine: "),
    "silence": (lambda h: h.server.over.wait(30), "(Timeout|timeout).*: "),
}


@pytest.mark.parametrize("case", list(BAD_ANSWERS))
def test_a_bad_answer_costs_one_line_and_gives_way_to_the_next_address(server, cache, caplog, case):
    answer, message = BAD_ANSWERS[case]
    server.answers["/bad/ml-1m.zip"] = answer
    limits = {"drips": {"whole": 0.3}, "drips headers": {"whole": 0.3}, "silence": {"silence": 0.2}}.get(
        case, {}
    )
    with caplog.at_level(logging.INFO, "deepfm_helpers.datasets"):
        with pytest.raises(DataError, match=rf"(?m)^  - {server.address}bad/ml-1m\.zip: .*({message})"):
            locate("ml-1m", origins=server.origins("bad", **limits))
        assert tree(cache) == {}
        write(cache / "ml-100k", ML_100K)
        located = locate("ml-1m", origins=server.origins("bad", "good", **limits))
    assert located.path == cache / "ml-1m"
    assert sorted(path.name for path in cache.iterdir()) == ["ml-100k", "ml-1m"]
    failed = [record for record in caplog.messages if record.startswith("that failed: ")]
    assert len(failed) == 2
    assert all("\n" not in line for line in failed)


@pytest.mark.parametrize(
    "address", ["http://name.invalid/", "http://", f"http://{'a' * 70}.org/", "http://[x/"]
)
def test_an_address_that_cannot_be_reached_gives_way_to_the_next(server, monkeypatch, address):
    monkeypatch.setenv("DEEPFM_MIRROR", address)
    assert locate("ml-1m", origins=server.origins()).source == "official archive"


@pytest.mark.parametrize(
    "answer",
    [
        lambda h: h.reply(ARCHIVE, Content_Length="abc"),
        lambda h: h.reply(b"moved", 301, Location="/good/ml-1m.zip"),
        lambda h: (
            h.send_response(302),
            h.send_header("Location", "/good/ml-1m.zip"),
            h.end_headers(),
            h.repeat(b"P" * 65536),
        ),
    ],
    ids=["odd length", "moved", "moved with an endless page"],
)
def test_the_right_bytes_are_taken_however_they_come(server, answer):
    server.answers["/odd/ml-1m.zip"] = answer
    assert locate("ml-1m", origins=server.origins("odd")).source == "official archive"


def test_without_a_network_the_error_names_every_way_and_says_what_to_do(server, cache):
    with Server() as closed:
        address = closed.address
    with pytest.raises(DataError) as caught:
        locate("ml-1m", origins=replace(SMALL, addresses=(address, "http://name.invalid/")))
    message = str(caught.value)
    assert f"  - {address}ml-1m.zip: " in message
    assert "  - http://name.invalid/ml-1m.zip: " in message
    assert "DEEPFM_DATA" in message
    assert "'planted'" in message
    assert tree(cache) == {}


def test_other_entries_of_an_archive_are_never_written(server, cache, tmp_path):
    evil = {"../../evil": "x", "/evil": "x", "C:evil": "x", "..\\evil": "x", "ml-1m/sub/evil": "x"}
    archive = zipped({f"ml-1m/{file}": data for file, data in contents(ML_1M).items()} | evil)
    server.answers["/good/ml-1m.zip"] = archive
    form = form_of(OFFICIAL_1M, ML_1M, archive)
    before = tree(tmp_path)
    locate("ml-1m", origins=server.origins(datasets={"ml-1m": (form,)}))
    new = set(tree(tmp_path)) - set(before)
    assert new == {"cache", "cache/ml-1m", *(f"cache/ml-1m/{file}" for file in ML_1M)}


def test_what_a_killed_run_left_is_not_mistaken_for_data(server, cache):
    write(cache / ".incoming-killed" / "ml-1m", {"ratings.dat": "1::1"})
    write(cache / "ml-1m", {"ratings.dat": ML_1M["ratings.dat"][:10]})
    assert locate("ml-1m", origins=server.origins()).path == cache / "ml-1m"
    assert sorted(path.name for path in cache.iterdir()) == [".incoming-killed", "ml-1m"]


def test_a_damaged_cache_is_kept_until_its_replacement_has_arrived(server, cache, caplog):
    damaged = write(cache / "ml-1m", ML_1M | {"users.dat": "x"})
    before = tree(cache)
    with pytest.raises(DataError, match="cannot be fetched"):
        locate("ml-1m", origins=server.origins("absent"))
    assert tree(cache) == before
    locate("ml-1m", origins=server.origins())
    assert (damaged / "users.dat").read_bytes() == contents(ML_1M)["users.dat"]
    assert "fetching ml-1m again" in caplog.text


def test_a_dataset_that_another_process_installed_meanwhile_is_left_alone(server, cache):
    def install_first(handler):
        write(cache / "ml-1m", ML_1M | {"README": "theirs"})
        handler.reply(ARCHIVE)

    server.answers["/good/ml-1m.zip"] = install_first
    assert locate("ml-1m", origins=server.origins()).path == cache / "ml-1m"
    assert (cache / "ml-1m" / "README").read_text() == "theirs"


@pytest.mark.parametrize("stage", ["unpack", "install"])
def test_a_full_disk_is_reported_and_leaves_the_cache_as_it_was(server, cache, monkeypatch, stage):
    write(cache / "ml-1m", ML_1M | {"users.dat": "x"})
    before = tree(cache)
    write_bytes, move = Path.write_bytes, Path.replace

    def write_half(path, data):
        write_bytes(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    def move_nothing_new(path, to):
        if path.parent != cache and path.name == "ml-1m":
            raise OSError(errno.ENOSPC, "No space left on device")
        return move(path, to)

    if stage == "unpack":
        monkeypatch.setattr(Path, "write_bytes", write_half)
    else:
        monkeypatch.setattr(Path, "replace", move_nothing_new)
    with pytest.raises(DataError, match="No space left on device; free some space, or name another folder"):
        locate("ml-1m", origins=server.origins())
    assert tree(cache) == before


def test_a_cache_that_cannot_be_written_is_reported(server, cache):
    cache.write_text("a file in the way")
    with pytest.raises(DataError, match="cannot write to the cache .*DEEPFM_CACHE"):
        locate("ml-1m", origins=server.origins())


def test_an_interruption_by_the_user_passes_through_and_leaves_nothing(server, cache, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        locate("ml-1m", origins=server.origins())
    assert tree(cache) == {}


# --- the package index --------------------------------------------------------------------------------------


def wheel() -> bytes:
    """A package as small as pip takes it; what it depends on does not exist."""
    inside, info = WHEEL_100K.inside, "recbole-1.2.1.dist-info/"
    return zipped(
        {inside + file: data for file, data in contents(RECBOLE).items()}
        | {
            inside + "ml-100k.kg": "not wanted",
            info
            + "METADATA": "Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\nRequires-Dist: no-such\n",
            info + "WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            info + "RECORD": "",
        }
    )


@pytest.fixture
def index(server, monkeypatch, tmp_path):
    """Origins whose ml-100k has no address that answers, and the folder in which pip looks for packages."""
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / WHEEL_100K.archive).write_bytes(wheel())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    archive = zipped(contents(ML_100K), "ml-100k/")
    forms = (form_of(OFFICIAL_100K, ML_100K, archive), form_of(WHEEL_100K, RECBOLE, wheel()))
    return server.origins("absent", datasets={"ml-100k": forms}), folder


def test_ml_100k_falls_back_to_the_package_index(server, index, cache):
    origins, folder = index
    located = locate("ml-100k", origins=origins)
    assert located == (cache / "ml-100k", "RecBole 1.2.1 wheel", origins.datasets["ml-100k"][1].files)
    assert server.requests == ["/absent/ml-100k.zip"]
    assert sorted(tree(cache)) == sorted(["ml-100k", *(str(Path("ml-100k", f)) for f in RECBOLE)])
    (folder / WHEEL_100K.archive).unlink()
    assert locate("ml-100k", origins=origins) == located


def test_the_official_archive_of_ml_100k_is_preferred(server, index):
    origins, _ = index
    server.answers["/absent/ml-100k.zip"] = zipped(contents(ML_100K), "ml-100k/")
    assert locate("ml-100k", origins=origins).source == "official archive"


def test_a_failing_or_absent_pip_is_reported(index, cache, monkeypatch, tmp_path):
    origins, folder = index
    with pytest.raises(DataError, match=r"package index \(recbole==1\.2\.1\): not complete after 0\.01 s"):
        locate("ml-100k", origins=replace(origins, whole=0.01))
    (folder / WHEEL_100K.archive).write_bytes(wheel() + b"x")
    with pytest.raises(DataError, match=r"package index \(recbole==1\.2\.1\): ERROR: .*HASHES"):
        locate("ml-100k", origins=origins)
    (folder / WHEEL_100K.archive).unlink()
    with pytest.raises(DataError, match="ERROR: No matching distribution found for recbole==1.2.1"):
        locate("ml-100k", origins=origins)
    (tmp_path / "pip.py").write_text("raise SystemExit('No module named pip')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DataError, match=r"recbole==1\.2\.1\): No module named pip"):
        locate("ml-100k", origins=origins)
    assert tree(cache) == {}
