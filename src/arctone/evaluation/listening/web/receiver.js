// Where answers are sent at the end: nowhere. `arctone listen serve` puts its own address here.
window.ARCTONE_RECEIVER = null;
