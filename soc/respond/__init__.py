"""Response: alerts and their triage, the register of systems, and the audit log."""
