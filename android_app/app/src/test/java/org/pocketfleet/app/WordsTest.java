package org.pocketfleet.app;

import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.security.cert.CertificateExpiredException;
import javax.net.ssl.SSLHandshakeException;
import org.junit.Test;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.SettingsException;
import org.pocketfleet.data.DataException;
import org.pocketfleet.state.StateException;
import org.pocketfleet.transport.NotEnrolledException;
import org.pocketfleet.transport.UnreachableException;

/** Every row of the table of failures in docs/android.md. */
public class WordsTest {
  private static Throwable caused(Throwable cause) {
    return new UnreachableException("fleet.example:8000", cause);
  }

  @Test
  public void eachProblemIsExplained() {
    Object[][] rows = {
      {new UnreachableException("10.0.0.1:8000: no route"), "cannot be reached"},
      {caused(new SSLHandshakeException("unknown authority")), "wrong certificate"},
      {
        caused(new SSLHandshakeException("x").initCause(new CertificateExpiredException())),
        "date and time"
      },
      {new NotEnrolledException("unknown key", 401, 0), "does not know this phone yet"},
      {
        new StateException("state", new IOException("write failed: ENOSPC (No space left)")),
        "storage is full"
      },
      {
        new StateException("state", new IOException("open failed: EACCES (Permission denied)")),
        "permission denied"
      },
      {new SecurityException("no grant for content://x"), "Android does not allow"},
      {new OutOfMemoryError("Failed to allocate"), "Not enough memory"},
      {new UnsatisfiedLinkError("dlopen failed"), "no TensorFlow Lite"},
      {new DataException("shard.npz: holds no samples"), "training data cannot be used"},
      {new SettingsException("No server yet."), "No server yet"},
      {new PocketfleetException("in its own words"), "in its own words"},
      {new IllegalStateException(), "Unexpected: IllegalStateException"},
    };
    for (Object[] row : rows) {
      String words = Words.of((Throwable) row[0]);
      assertTrue(words + " <- " + row[0], words.contains((String) row[1]));
    }
  }
}
