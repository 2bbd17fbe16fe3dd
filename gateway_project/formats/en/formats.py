"""English dates as all pages write them: 5 Dec 2026 10:33."""

DATE_FORMAT = "j M Y"
DATETIME_FORMAT = "j M Y H:i"
