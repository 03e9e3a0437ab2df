"""docs/gradient-coverage.md: an introduction by hand, and sections each of which a script writes."""
import pathlib

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "gradient-coverage.md"


def write_section(heading, lines):
    """Replaces the section `## heading` of the page, or adds it."""
    introduction, *sections = PAGE.read_text().split("\n## ")
    fresh = heading + "\n\n" + "\n".join(lines)
    at = next((index for index, section in enumerate(sections) if section.split("\n")[0] == heading), len(sections))
    sections[at:at + 1] = [fresh]
    PAGE.write_text("\n## ".join(section.strip() + "\n" for section in [introduction, *sections]))
