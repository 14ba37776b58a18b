"""Tables: the right mean of the right clips, published figures beside, and the same figures in every file."""

import csv
import json

import cv2
import pytest

from diffopt.evaluation.chart import draw
from diffopt.evaluation.options import Published, Table
from diffopt.evaluation.table import fill, heading, markdown, write

COLUMNS = ["g_mpjpe_mm", "rte_percent"]


def scored(row, sequence, start=0, seed=None, splits=("emdb2",), body="smpl", true_camera=False, **metrics):
    return {
        "row": row, "sequence": sequence, "splits": list(splits), "start": start, "stop": start + 100, "seed": seed,
        "body": body, "truth_body": body, "true_camera_used": true_camera,
        "metrics": {name: list(value) for name, value in metrics.items()},
    }  # fmt: skip


SCORES = [
    scored("ours", "walk", 0, 0, g_mpjpe_mm=(10, 100), rte_percent=(1.0, 100)),
    scored("ours", "walk", 100, 0, g_mpjpe_mm=(20, 50), rte_percent=(None, 100)),
    scored("ours", "run", 0, 0, g_mpjpe_mm=(60, 50), rte_percent=(3.0, 100)),
    scored("theirs", "walk", 0, g_mpjpe_mm=(90, 100), rte_percent=(9.0, 100)),
]


def only_line(table, scores=SCORES, row="ours"):
    filled = fill("t", table, scores, ["ours", "theirs"])
    return next(line for line in filled.lines if line.system == row)


def test_means_over_frames_weigh_clips_by_what_they_measured():
    line = only_line(Table(columns=COLUMNS))
    assert line.values == {"g_mpjpe_mm": (10 * 100 + 20 * 50 + 60 * 50) / 200, "rte_percent": 2.0}
    assert line.clips == 3


def test_means_over_sequences_weigh_sequences_alike():
    line = only_line(Table(columns=COLUMNS, mean_over="sequences"))
    assert line.values["g_mpjpe_mm"] == pytest.approx(((10 * 100 + 20 * 50) / 150 + 60) / 2)


def test_only_the_tables_sequences_and_split_count():
    assert only_line(Table(columns=COLUMNS, sequences=["run"])).values["g_mpjpe_mm"] == 60
    assert fill("t", Table(columns=COLUMNS, split="emdb1"), SCORES, ["ours"]) is None
    assert fill("t", Table(columns=COLUMNS, sequences=["jump"]), SCORES, ["ours"]) is None


def test_differences_are_from_one_line_of_ours_and_one_published():
    published = {name: Published({"g_mpjpe_mm": value}, source="arXiv 1") for name, value in
                 (("ours", 100.0), ("theirs", 130.0))}  # fmt: skip
    shown = markdown(fill("t", Table(columns=COLUMNS, against="ours", published=published), SCORES, ["ours", "theirs"]))
    assert "| **ours** | 3 | 25.0 | 2.00 |" in shown and "| **theirs** | 1 | 90.0 (+65.0) | 9.00 (+7.0) |" in shown
    assert "| *ours* |  | 100.0 | — |" in shown and "| *theirs* |  | 130.0 (+30.0) | — |" in shown


def test_only_the_tables_rows_stand_in_it():
    filled = fill("t", Table(columns=COLUMNS, rows=["theirs"]), SCORES, ["ours", "theirs"])
    assert [line.system for line in filled.lines] == ["theirs"] and filled.sequences == ("walk",)


def test_seeds_are_averaged_and_their_spread_is_shown():
    seeds = [scored("ours", "walk", 0, seed, g_mpjpe_mm=(value, 100)) for seed, value in enumerate((10, 14, 30))]
    line = only_line(Table(columns=COLUMNS), seeds)
    assert line.values == {"g_mpjpe_mm": 18, "rte_percent": None} and line.clips == 1
    assert line.spread["g_mpjpe_mm"] == pytest.approx((sum((v - 18) ** 2 for v in (10, 14, 30)) / 3) ** 0.5)
    assert "18.0 ± 8.6" in markdown(fill("t", Table(columns=COLUMNS), seeds, ["ours"]))


def test_a_system_that_lacks_a_sequence_is_said_to():
    filled = fill("t", Table(columns=COLUMNS, sequences=["walk", "run", "climb"]), SCORES, ["ours", "theirs"])
    assert [line.missing for line in filled.lines] == [("climb",), ("run", "climb")]
    assert "> theirs: no score of run, climb; its means are over the others." in markdown(filled)


def test_what_cannot_be_compared_with_published_figures_is_said():
    free = [scored("ours", "walk", body="free", g_mpjpe_mm=(1, 1))]
    true_camera = [scored("ours", "walk", true_camera=True, g_mpjpe_mm=(1, 1))]
    assert "free body" in markdown(fill("t", Table(columns=COLUMNS), free, ["ours"]))
    assert "the true one was given: ours" in markdown(fill("t", Table(columns=COLUMNS), true_camera, ["ours"]))
    assert ">" not in markdown(fill("t", Table(columns=COLUMNS), SCORES, ["ours"]))


def test_the_page_shows_ours_and_published_lines_and_sequences():
    published = {"WHAM": Published({"g_mpjpe_mm": 135.6}, {"run": {"g_mpjpe_mm": 99.9}}, "arXiv 1")}
    table = Table("Title", COLUMNS, by_sequence=["g_mpjpe_mm", "rte_percent"], published=published)

    lines = markdown(fill("t", table, SCORES, ["ours", "theirs"])).splitlines()

    assert lines[0] == "## Title"
    assert lines[2] == "| system | clips | G-MPJPE (mm) | RTE (%) | source |"
    assert "| **ours** | 3 | 25.0 | 2.00 | this run |" in lines
    assert "| *WHAM* |  | 135.6 | — | arXiv 1 |" in lines
    assert [lines.index(f"{metric} by sequence:") for metric in ("G-MPJPE (mm)", "RTE (%)")] == [8, 15]
    assert lines[10] == "| sequence | **ours** | **theirs** | *WHAM* |"
    assert lines[12:14] == ["| run | 60.0 | missing | 99.9 |", "| walk | 13.3 | 90.0 | — |"]


def test_a_published_figure_stands_below_ours_of_the_same_name():
    published = {name: Published({"g_mpjpe_mm": 1.0}, source="arXiv 1") for name in ("WHAM", "ours")}
    filled = fill("t", Table(columns=COLUMNS, published=published), SCORES, ["ours", "theirs"])
    assert [(line.system, line.source) for line in filled.lines] == [
        ("ours", ""), ("ours", "arXiv 1"), ("theirs", ""), ("WHAM", "arXiv 1")
    ]  # fmt: skip


def test_a_sequence_that_nobody_has_stays_in_the_table_as_missing():
    table = Table(columns=COLUMNS, sequences=["walk", "climb"], by_sequence=["g_mpjpe_mm"])
    assert "| climb | missing | missing |" in markdown(fill("t", table, SCORES, ["ours", "theirs"]))


@pytest.mark.parametrize(
    ("metric", "shown"),
    [
        ("wa_mpjpe_100_mm", "WA-MPJPE-100 (mm)"), ("accel_cam_m_s2", "accel cam (m/s²)"), ("jitter", "jitter"),
        ("foot_sliding_mm", "foot sliding (mm)"), ("camera_rotation_deg", "camera rotation (°)"),
        ("seconds_per_100_frames", "s per 100 frames"), ("w_mpjpe_100_scale", "W-MPJPE-100"),
    ],
)  # fmt: skip
def test_columns_are_named_as_people_write_them(metric, shown):
    assert heading(metric) == shown


def test_every_file_holds_the_same_figures(tmp_path):
    table = fill("world", Table("World", COLUMNS), SCORES, ["ours", "theirs"])

    names = {path.name for path in write(tmp_path, [table], SCORES, {"ours-climb": "no such file"})}

    assert names == {"tables.md", "tables.json", "clips.csv", "world.csv"}
    rows = list(csv.DictReader((tmp_path / "world.csv").open()))
    assert rows[0]["g_mpjpe_mm"] == "25.0" and rows[1]["system"] == "theirs"
    document = json.loads((tmp_path / "tables.json").read_text())
    assert document["tables"][0]["lines"][0]["values"]["g_mpjpe_mm"] == 25.0 and len(document["scores"]) == 4
    clips = list(csv.DictReader((tmp_path / "clips.csv").open()))
    assert [row["g_mpjpe_mm"] for row in clips] == ["10", "20", "60", "90"] and clips[1]["rte_percent"] == ""
    assert "- `ours-climb`: no such file" in (tmp_path / "tables.md").read_text()


def test_the_picture_can_be_opened(tmp_path):
    published = {"WHAM": Published({"g_mpjpe_mm": 9000.0}, source="arXiv 1")}
    path = draw(fill("t", Table("Title", COLUMNS, published=published), SCORES, ["ours", "theirs"]), tmp_path / "t.png")
    assert cv2.imread(str(path)).std() > 10
