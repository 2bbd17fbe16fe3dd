"""How the project writes dates where Django's own way for a language differs from its pages'."""
