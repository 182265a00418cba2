"""What the plug-in adds to the built-in page: thumbnails of pictures, and the pictures themselves."""
