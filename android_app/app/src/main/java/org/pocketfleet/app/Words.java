package org.pocketfleet.app;

import java.io.IOException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;
import javax.net.ssl.SSLException;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.bundle.BundleException;
import org.pocketfleet.data.DataException;
import org.pocketfleet.state.StateInUseException;
import org.pocketfleet.transport.NotEnrolledException;
import org.pocketfleet.transport.RunOverException;
import org.pocketfleet.transport.UnreachableException;

/** What went wrong, and what to do about it, for someone who holds the phone. */
final class Words {
  private Words() {}

  /** Explains a problem. Never empty. */
  static String of(Throwable problem) {
    if (has(problem, OutOfMemoryError.class)) {
      return "Not enough memory for this model. Close other apps, or ask for a smaller model or batch.";
    }
    String storage = storage(problem);
    if (storage != null) {
      return storage;
    }
    if (has(problem, CertificateExpiredException.class)
        || has(problem, CertificateNotYetValidException.class)) {
      return "The server's certificate is not valid at this phone's date. Check the phone's date and"
          + " time; if they are right, the server needs a new certificate.";
    }
    if (has(problem, SSLException.class)) {
      return "The server at this address is not the one of the invitation (wrong certificate)."
          + " Check the address, or ask for a new invitation.";
    }
    if (problem instanceof NotEnrolledException) {
      return "The server does not know this phone yet. Send this phone's key to its operator.";
    }
    if (problem instanceof RunOverException) {
      return "The server has finished. Nothing is left to do.";
    }
    if (problem instanceof UnreachableException) {
      return "The server cannot be reached. Check the address and that this phone is in the right"
          + " network. ("
          + problem.getMessage()
          + ")";
    }
    if (problem instanceof StateInUseException) {
      return "It is running already.";
    }
    if (has(problem, SecurityException.class)) {
      return "Android does not allow this: " + text(problem) + ". Choose the file or folder again.";
    }
    if (has(problem, UnsatisfiedLinkError.class)) {
      return "This app has no TensorFlow Lite for this phone's processor. Install the universal APK.";
    }
    if (problem instanceof BundleException) {
      return "The model is not used: " + text(problem);
    }
    if (problem instanceof DataException) {
      return "The training data cannot be used: " + text(problem);
    }
    return problem instanceof PocketfleetException
        ? text(problem)
        : "Unexpected: " + problem.getClass().getSimpleName() + ": " + text(problem);
  }

  /** Words for a full or forbidden storage; null if that is not the problem. */
  private static String storage(Throwable problem) {
    for (Throwable cause : causes(problem)) {
      if (cause instanceof IOException && cause.getMessage() != null) {
        String message = cause.getMessage().toLowerCase(Locale.ROOT);
        if (message.contains("enospc") || message.contains("no space left")) {
          return "This phone's storage is full. Free some space; the work goes on where it was.";
        }
        if (message.contains("eacces") || message.contains("permission denied")) {
          return "A file cannot be read (permission denied): " + cause.getMessage();
        }
      }
    }
    return null;
  }

  private static boolean has(Throwable problem, Class<? extends Throwable> kind) {
    for (Throwable cause : causes(problem)) {
      if (kind.isInstance(cause)) {
        return true;
      }
    }
    return false;
  }

  private static Iterable<Throwable> causes(Throwable problem) {
    Set<Throwable> causes = new HashSet<>();
    for (Throwable cause = problem; cause != null && causes.add(cause); ) {
      cause = cause.getCause();
    }
    return causes;
  }

  private static String text(Throwable problem) {
    String message = problem.getMessage();
    return message == null || message.isEmpty() ? problem.getClass().getSimpleName() : message;
  }
}
