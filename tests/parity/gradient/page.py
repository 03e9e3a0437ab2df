"""docs/gradient-coverage.md, of which each script writes a section of its own."""
import pathlib

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "gradient-coverage.md"
TITLE = "# What `gradient` differentiates, and how that is checked"


def write_section(heading, lines):
    """Replaces the section `## heading` of the page, or adds it."""
    text = PAGE.read_text() if PAGE.exists() else ""
    sections = [section for section in text.split("\n## ") if section.strip()]
    kept = [section for section in sections[1:]] if sections and sections[0].startswith(TITLE) else []
    fresh = heading + "\n\n" + "\n".join(lines).strip() + "\n"
    at = next((index for index, section in enumerate(kept) if section.split("\n")[0] == heading), None)
    if at is None:
        kept.append(fresh)
    else:
        kept[at] = fresh
    PAGE.write_text("\n## ".join([TITLE + "\n", *[section.strip() + "\n" for section in kept]]))
