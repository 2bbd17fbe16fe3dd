"""The frame of the team dashboard, which accounting's and routing's pages share: who may open a page, where it stands, which
period it shows, how it is drawn."""
