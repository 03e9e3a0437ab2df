"""docs/gradient-coverage.md: an introduction by hand, and sections each of which a script writes."""
import pathlib

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "gradient-coverage.md"


def rows_of(heading):
    """The rows of a section's table, each a list of cells; its head not among them."""
    return table_of(heading)[2:]


def cells_of(heading):
    """A section's table by the first cell of the row and the head of the column."""
    head, *_ = table_of(heading) or [[]]
    return {row[0]: dict(zip(head[1:], row[1:])) for row in rows_of(heading)}


def table_of(heading):
    section = next((part for part in PAGE.read_text().split("\n## ") if part.split("\n")[0] == heading), "")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.split("\n") if line.startswith("|")]


def write_section(heading, lines):
    """Replaces the section `## heading` of the page, or adds it."""
    introduction, *sections = PAGE.read_text().split("\n## ")
    fresh = heading + "\n\n" + "\n".join(lines)
    at = next((index for index, section in enumerate(sections) if section.split("\n")[0] == heading), len(sections))
    sections[at:at + 1] = [fresh]
    PAGE.write_text("\n## ".join(section.strip() + "\n" for section in [introduction, *sections]))
