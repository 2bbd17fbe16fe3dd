"""A team's keys as its people and programs manage them: who may, what a key may be given, how it stands."""
