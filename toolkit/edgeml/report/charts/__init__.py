"""The reports' charts: a file each draws one."""
