"""Page 5: is it better?"""
