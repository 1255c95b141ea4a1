# No mask, no buffer, no param. What a C compiler could stumble over: /* a comment in a comment */, a backslash at the end \
score = score
