"""What an artefact reaches on labelled rows, and what can be promised of new ones. No torch here."""
