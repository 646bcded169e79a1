"""The only room that speaks to Google: batch jobs and files over HTTP, nothing else."""
