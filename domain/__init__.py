"""What a debt is: money, commands, facts, decisions, allocation, reminder rules. Pure: no I/O and no clock."""
