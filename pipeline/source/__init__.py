"""The source: everything WeCom holds, pulled and kept before the next call; gaps told; media fetched; one cycle of all steps."""
