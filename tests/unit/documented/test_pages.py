"""How commands are found in a page."""

from __future__ import annotations

from documented.pages import commands, unmarked

PAGE = """\
# A title with `kubectl get pods`

Text before.

```bash
make demo     # tell the story
docker run -e A=b \\
  image
kubectl rag abort NAME |
  tail -1
```

That was not run by a
test, see `README.md` and `RAG_X=1 .venv/bin/python -m rag_gateway`.

```
output of something
```

| `kubectl rag retry NAME` | a row |
| `helm uninstall rag --no-hooks` | not run by a test |
"""


def found() -> dict[str, tuple[int, bool, bool]]:
    return {one.text: (one.line, one.block, one.said_not_run) for one in commands("page.md", PAGE)}


def test_commands_are_the_lines_of_marked_fences_and_what_sentences_mention() -> None:
    assert found() == {
        "kubectl get pods": (1, False, False),
        "make demo": (6, True, True),
        "docker run -e A=b image": (7, True, True),
        "kubectl rag abort handbook | tail -1": (9, True, True),
        "RAG_X=1 .venv/bin/python -m rag_gateway": (14, False, True),
        "kubectl rag retry handbook": (20, False, False),
        "helm uninstall rag --no-hooks": (21, False, True),
    }


def test_what_stands_beside_a_command_is_its_comment() -> None:
    assert {one.comment for one in commands("page.md", PAGE) if one.text == "make demo"} == {"tell the story"}


def test_a_fence_of_commands_without_a_language_is_noticed() -> None:
    assert unmarked("```\nhelm install rag\noutput\n```\n") == ["helm install rag"]
    assert unmarked("```bash\nhelm install rag\n```\n") == []
