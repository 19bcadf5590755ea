"""What starts by itself: jobs, schedules, sensors."""
