"""The example of docs/placement-drafts.md works as it is printed."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.serving.conftest import Server

PAGE: Final = (Path(__file__).parents[2] / "docs" / "placement-drafts.md").read_text(encoding="utf-8")


def test_the_example_works_as_printed(start: Callable[..., Server], own_models: Path) -> None:
    (script,) = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    server = start(own_models)
    server.wait()
    run = subprocess.run(
        [
            "bash",
            "-euxc",
            script.replace("http://127.0.0.1:8000", server.url).replace("curl -s", "curl -sS --noproxy '*'"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    seen = f"{run.stdout}\n{run.stderr}"
    decoder, rest, answers = json.JSONDecoder(), run.stdout, []
    while rest:
        answer, end = decoder.raw_decode(rest)
        answers.append(answer)
        rest = rest[end:]
    check, preview, difference, back, audit = answers
    assert check.get("is_valid"), f"{seen}\nthe server's output is {server.stop()}"
    assert check["changes"][0]["name"] == "for_you"
    assert preview["drafted"]["items"]
    assert (difference["is_complete"], difference["lists"][0]["placement"]) == (True, "for_you")
    assert back["previous"] == audit["entries"][1]["after"]
    assert [entry["action"] for entry in audit["entries"]] == [
        "placements_rolled_back",
        "placements_activated",
        "draft_created",
    ]
    assert [entry["reason"] for entry in audit["entries"][:2]] == ["sold out", "double 11"]
