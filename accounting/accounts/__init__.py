"""The pages around one's own account: sign-in, sign-out, the first administrator's link, the start page."""
