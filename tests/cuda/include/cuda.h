// Nothing of the toolkit is needed where device code is emulated.
