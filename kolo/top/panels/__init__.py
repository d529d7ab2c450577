"""What each panel of the dashboard says, as lines of spans; no panel knows the screen."""
