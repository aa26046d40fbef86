"""Why a finished run did what it did in one session: its decision made again, checked, and taken apart."""
