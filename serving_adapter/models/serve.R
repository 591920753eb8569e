# The process behind serving_adapter.models.r: calls a function of R with batches that come over a pipe.
#
#   Rscript serve.R FOLDER REQUESTS REPLIES
#
# FOLDER holds func.R and perhaps model.rds; REQUESTS and REPLIES are numbers of open file descriptors. All integers are
# of 32 bits, little-endian.
#
#   request   count, kind, the length in bytes of each input, then their bytes
#   reply     count, the length in bytes of each output, then their bytes; or -1, the length and the bytes of a text
#             that says what went wrong
#
# Kinds are 0 bytes, 1 integers, 2 floats, 3 doubles, 4 strings. A reply of count 0 comes once the model is loaded.
# The end of the requests ends this process.

local({
  arguments <- commandArgs(trailingOnly = TRUE)
  folder <- arguments[1]
  requests <- file(paste0("/dev/fd/", arguments[2]), "rb", raw = TRUE)
  replies <- file(paste0("/dev/fd/", arguments[3]), "wb", raw = TRUE)
  options(warn = 1)

  read_integers <- function(count) readBin(requests, "integer", count, 4L, endian = "little")

  read_input <- function(kind, length) {
    if (kind == 0L) return(readBin(requests, "raw", length))
    if (kind == 1L) return(readBin(requests, "integer", length %/% 4L, 4L, endian = "little"))
    if (kind == 2L) return(readBin(requests, "numeric", length %/% 4L, 4L, endian = "little"))
    if (kind == 3L) return(readBin(requests, "numeric", length %/% 8L, 8L, endian = "little"))
    text <- rawToChar(readBin(requests, "raw", length))
    Encoding(text) <- "UTF-8"
    text
  }

  reply <- function(texts, count = length(texts)) {
    contents <- lapply(enc2utf8(texts), charToRaw)
    writeBin(c(count, lengths(contents)), replies, 4L, endian = "little")
    writeBin(as.raw(unlist(contents)), replies)
    flush(replies)
  }

  fail <- function(message) reply(message, count = -1L)

  # The shortest of 15 and of 17 digits that is the same number.
  number <- function(x) {
    short <- formatC(x, digits = 15L, format = "g", width = 1L)
    exact <- formatC(x, digits = 17L, format = "g", width = 1L)
    ifelse(is.finite(x), ifelse(suppressWarnings(as.numeric(short)) == x, short, exact), "null")
  }

  quoted <- function(x) {
    x <- gsub("\\", "\\\\", enc2utf8(x), fixed = TRUE)
    x <- gsub("\"", "\\\"", x, fixed = TRUE)
    for (each in list(c("\n", "\\n"), c("\r", "\\r"), c("\t", "\\t"))) x <- gsub(each[1], each[2], x, fixed = TRUE)
    ifelse(is.na(x), "null", paste0("\"", gsub("[[:cntrl:]]", "", x), "\""))
  }

  json <- function(x) {
    if (is.null(x)) return("null")
    if (!length(x)) return("[]")
    if (is.factor(x)) x <- as.character(x)
    parts <- if (is.list(x)) vapply(x, json, "", USE.NAMES = FALSE)
      else if (is.logical(x)) ifelse(is.na(x), "null", ifelse(x, "true", "false"))
      else if (is.integer(x)) ifelse(is.na(x), "null", format(x, scientific = FALSE, trim = TRUE))
      else if (is.numeric(x)) number(as.numeric(x))
      else if (is.character(x)) quoted(x)
      else stop("an output of type ", typeof(x), " cannot be sent", call. = FALSE)
    if (!is.null(names(x))) return(paste0("{", paste0(quoted(names(x)), ":", parts, collapse = ","), "}"))
    if (length(x) == 1L && !is.list(x)) unname(parts) else paste0("[", paste(parts, collapse = ","), "]")
  }

  # A single string is sent as it is, anything else as JSON.
  as_text <- function(x) if (is.character(x) && length(x) == 1L && !is.na(x)) unname(x) else json(x)

  one_each <- function(outputs, count) {
    if (is.factor(outputs)) outputs <- as.character(outputs)
    if (is.matrix(outputs) || is.data.frame(outputs)) {
      rows <- unname(as.matrix(outputs))
      outputs <- lapply(seq_len(nrow(rows)), function(place) as.vector(rows[place, ]))
    }
    if (!is.vector(outputs) && !is.list(outputs)) outputs <- as.vector(outputs)
    if (length(outputs) != count) {
      stop("the function returned ", length(outputs), " outputs for ", count, " inputs", call. = FALSE)
    }
    unname(outputs)
  }

  said <- function(condition) {
    call <- conditionCall(condition)
    where <- if (is.null(call)) "" else paste0(" (in ", paste(deparse(call, nlines = 1L), collapse = ""), ")")
    paste0(conditionMessage(condition), where)
  }

  model <- NULL
  predict_batch <- NULL
  loaded <- tryCatch({
    if (file.exists(file.path(folder, "model.rds"))) model <- readRDS(file.path(folder, "model.rds"))
    predict_batch <- source(file.path(folder, "func.R"), encoding = "UTF-8")$value
    if (!is.function(predict_batch)) stop("the last value of func.R is no function(model, inputs)", call. = FALSE)
    TRUE
  }, error = function(condition) {
    fail(said(condition))
    FALSE
  })
  if (!loaded) quit(save = "no", status = 1L)
  reply(character())

  repeat {
    header <- read_integers(2L)
    if (length(header) < 2L) quit(save = "no")
    inputs <- lapply(read_integers(header[1]), function(length) read_input(header[2], length))
    tryCatch(
      reply(vapply(one_each(predict_batch(model, inputs), length(inputs)), as_text, "")),
      error = function(condition) fail(said(condition))
    )
  }
})
