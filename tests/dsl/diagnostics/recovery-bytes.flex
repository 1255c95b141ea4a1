let x = "cafÃ©"
score = score	+	qq
# bad ÿ byte
mask = true ÿ
