"""Why a plan is what it is: what was rejected, what each replica is worth, and what binds."""
