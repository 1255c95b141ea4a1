/* What a process costs that does nothing: warm_start subtracts it. */
int main(void) { return 0; }
