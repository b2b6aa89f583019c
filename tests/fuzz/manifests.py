"""Manifests as people write them, and what may become of a damaged one."""

from __future__ import annotations

import shutil
from pathlib import Path

from tracker_core.errors import ManifestError
from tracker_core.ingest.jobs import ingest, scope_of
from tracker_core.ingest.manifest import RowProblem, open_manifest
from tracker_core.store.catalog import Catalog

EXCEL = "Ord;Videofil;Start;Slutt;Merk\r\n" + "".join(
    f'blå {number};"clips/{number}.mp4";0,5;1,{number};"a; ""b""\r\nc"\r\n' for number in range(6)
)
_TABLES = {
    "frames": "attachment_id\ttext\tbegin\tend\nc8\tПривет\t32\t70\nd9\tПока\t0\t0\n",
    "rates": "gloss,video,fps,frame_start,frame_end\nbook,a.mp4,25,1,50\nbook,b.mp4,25,26,-1\n",
    "milliseconds": "file,start_ms,end_ms\na.mp4,1500,2500\nb.mp4,0,12.5\n",
    "clocks": "ord,sti,fra,til,fps\nhus,a.mp4,00:00:01:12,00:00:02:00,24\nbok,b.mp4,0:01,0:02.5,\n",
    "hint": 'sep=;\n"word";"video"\n"takk";"a.mp4"\n"å spise";"æ/ø å.mp4"\n',
    "headless": "a.mp4,takk\nb.mp4,bok\næ/ø å.mp4,å spise\n",
    "places": "word,file\na,C:\\clips\\a.mp4\nb,file:///clips/b%20c.mp4\nc,../c.mp4\nd,~/d.mp4\n",
    "stems": 'name;label\na;"takk"\nb;"bok"\nø å;blåbær\n',
    "padded": "".join(f"{n:>9} ,  clips/{n}.mp4 ,{n}.5,\n" for n in range(40)),
}


class ManifestFuzz:
    """Manifests to damage, and the check of a damaged one: all the way into a catalog."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "ingest"
        self._empty = self._folder / "empty.db"

    def wholes(self) -> dict[str, bytes]:
        """The bytes of undamaged manifests, by name; some files that they name are there."""
        (self._folder / "æ").mkdir(parents=True, exist_ok=True)
        for name in ("a.mp4", "b.mp4", "æ/ø å.mp4"):
            (self._folder / name).write_bytes(name.encode())
        if not self._empty.exists():
            _catalog(self._empty).close()
        excel = {
            f"excel-{encoding}": EXCEL.encode(encoding)
            for encoding in ("utf-8", "cp1252", "utf-16", "utf-16-le", "utf-8-sig")
        }
        return excel | {name: text.encode() for name, text in _TABLES.items()}

    def check(self, manifest: Path) -> str:
        """Return ``rows``, ``rows and problems`` or ``refused``."""
        # A new one for each: what one manifest leaves open is not closed by the next.
        database = self._folder / "new.db"
        shutil.copyfile(self._empty, database)
        catalog = _catalog(database)
        try:
            rows = open_manifest(manifest, root=self._folder)
            assert rows.recognised.describe()
            items = list(rows)
            assert items, "an empty result is no success"
            assert all(item.line >= 1 for item in items)
            problems = [item for item in items if isinstance(item, RowProblem)]
            assert all(len(problem.message) > 10 for problem in problems)
            found = ingest(iter(rows), scope_of(rows, "m.csv"), "m.csv", catalog)
            assert found.skipped + found.repeated == len(problems)
            assert 0 < found.videos <= len(items) - len(problems)
            assert sum(catalog.counts(found.scope).values()) == found.videos
        except ManifestError as error:
            assert len(str(error)) > 20, error
            return "refused"
        finally:
            catalog.close()
        return "rows and problems" if problems else "rows"


def _catalog(database: Path) -> Catalog:
    return Catalog(f"sqlite:///{database.as_posix()}").open()
