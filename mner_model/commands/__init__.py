"""What the subcommands of `mner-model` do, a file for each kind."""
