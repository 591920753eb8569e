"""The two REST interfaces of the serving core: queries (1337) and administration (1338)."""
