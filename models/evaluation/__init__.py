"""An artefact's performance on labelled rows, and guarantees for new ones. No torch here."""
