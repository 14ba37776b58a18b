"""Who is seen when, how large, and how to name them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from diffopt.frontend.people import People
from diffopt.frontend.video import Video


def table(people: People, video: Video, start_frame: int = 0) -> list[dict[str, Any]]:
    """A row for each person, the most prominent first; frames are counted on the whole video's clock.

    Args:
        people: all of them.
        video: the span that they were looked for in.
        start_frame: where it begins in the whole video.
    """
    rows = []
    for person in range(1, people.count + 1):
        first, stop = (start_frame + frame for frame in people.span(person))
        own = np.flatnonzero(people.person == person)
        middle = own[len(own) // 2]
        x, y = ((people.box_px[middle, :2] + people.box_px[middle, 2:]) / 2).clip(0).round().astype(int).tolist()
        rows.append(
            {
                "person": person,
                "first_frame": first,
                "last_frame": stop - 1,
                "first_s": round(first / video.fps, 2),
                "last_s": round((stop - 1) / video.fps, 2),
                "height": round(people.height_px(person) / video.height, 3),
                "prominence": round(float(people.prominence[person - 1] / people.prominence[0]), 3),
                "point": f"{x},{y}@{start_frame + people.frame[middle]}",
            }
        )
    return rows


def in_words(row: dict[str, Any]) -> str:
    """One row for people to read."""
    when = f"frames {row['first_frame']}-{row['last_frame']} ({row['first_s']:.1f}-{row['last_s']:.1f} s)"
    return f"{row['person']}: {when}, {row['height']:.0%} of the picture high, prominence {row['prominence']:.0%}"


def write_table(stem: Path, rows: list[dict[str, Any]]) -> list[Path]:
    """As `STEM.json` and `STEM.csv`."""
    as_json, as_csv = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.csv")
    as_json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    with open(as_csv, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]) if rows else ["person"])
        writer.writeheader()
        writer.writerows(rows)
    return [as_json, as_csv]
