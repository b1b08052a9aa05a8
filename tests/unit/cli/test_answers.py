# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from goldsmith.cli.answers import BenchAnswer, BenchRow
from tests.support import published


def test_a_benchmark_is_a_table_for_people_and_a_document_for_programs() -> None:
    rows = (
        BenchRow(what="our export, cold", seconds=1.8, bytes=97 << 20, peak_mib=49.2),
        BenchRow(what="docker save", seconds=1.43, bytes=0),
    )
    answer = BenchAnswer(cpus=2, load=0.5, rows=rows, ratios={"export, time": 1.26})

    text = answer.as_text().splitlines()

    assert text[1].split()[-3:] == ["1.80", "97.0", "49"]
    assert text[2].split()[-1] == "1.43"
    assert text[3] == "export, time: 1.26"
    published.check(answer.as_dict())
