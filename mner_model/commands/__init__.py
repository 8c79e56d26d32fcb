"""The subcommands of `mner-model`: a file for each kind."""
