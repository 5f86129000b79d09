"""The parts of `triton_spacemit.integrations.flag_gems`; importing them changes nothing and does not need FlagGems."""
