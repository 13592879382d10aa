"""One model, its device, its batches and its loss, in one process or several."""
