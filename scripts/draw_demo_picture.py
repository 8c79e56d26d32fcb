"""python scripts/draw_demo_picture.py RECORDS

Draws docs/demo.svg, the README's picture of the demo on a terminal, from records that the demo printed into a pipe:
mner-worker demo --once > RECORDS
"""

import json
import re
import sys
from pathlib import Path

from rich.console import Console

from worker.watch.record_view import Terminal

SHOWN = ("demo-002", "demo-005", "demo-012", "demo-013", "demo-036", "demo-034", "demo-044")
TARGET = Path(__file__).resolve().parents[1] / "docs" / "demo.svg"


def main() -> None:
    """Show the chosen records on a terminal that is recorded."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lines = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    records = {fields["post_id"]: fields for fields in lines if "post_id" in fields}
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=104, file=nowhere, force_terminal=True, color_system="truecolor")
        view = Terminal(console)
        for post_id in SHOWN:
            view.record(json.dumps(records[post_id]).encode(), None)
        svg = console.export_svg(title="make demo")
    # the fonts that rich names lie on a server of somebody's; any monospaced one will do
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    TARGET.write_text(svg.replace("Fira Code", "ui-monospace"), encoding="utf-8")


if __name__ == "__main__":
    main()
