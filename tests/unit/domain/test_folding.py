"""A folded command is the same command: bash reads the same words."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drp.domain.runbooks.folding import fold

WORDS = st.lists(
    st.one_of(
        st.text(alphabet="ab '\"\\$`\n;|#", min_size=1, max_size=30),
        st.sampled_from(["--include", "/srv/a b", "x" * 60, "<<'END'", "END", "a\nEND\nb"]),
    ),
    min_size=1,
    max_size=12,
)


def said(script: str) -> bytes:
    return subprocess.run(["bash", "-c", script], capture_output=True, check=True, timeout=20).stdout


@settings(max_examples=60, deadline=None)
@given(words=WORDS, width=st.integers(10, 60))
def test_bash_reads_the_same_words(words: list[str], width: int) -> None:
    command = f"printf '<%s>' {shlex.join(words)}"
    assert said(fold(command, width)) == "".join(f"<{word}>" for word in words).encode()


def test_lines_fit_where_words_can_be_parted() -> None:
    command = "restic restore " + " ".join(f"--include /srv/folder-{number}" for number in range(20))
    folded = fold(command, 60).split("\n")
    assert max(map(len, folded)) <= 60
    assert all(line.endswith(" \\") for line in folded[:-1])
    assert " ".join(line.removesuffix("\\").strip() for line in folded) == command


@pytest.mark.parametrize(
    "command",
    [
        "short",
        "cat <<'END'\n" + "a b " * 60 + "\nEND\necho done",
        'x="$(A="$(cat f)" client --raw CONFIG GET dir | tail -n 1)/$(client CONFIG GET file)"',
    ],
)
def test_what_must_not_be_touched_stays(command: str) -> None:
    assert fold(command, 200) == command


def test_a_here_document_keeps_its_lines_behind_a_folded_command() -> None:
    body = "SELECT  'a  long  line  with  blanks  in  it';"
    command = f"cat -- - {'/dev/null ' * 12}<<'END'\n{body}\nEND\necho {'b ' * 40}"
    folded = fold(command, 50)
    assert body in folded.split("\n")
    assert said(folded) == said(command)
